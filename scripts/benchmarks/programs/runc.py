"""runc: Open Containers' reference runtime. A bundle with the namespaces and limits that a task of ours has."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands import until

from . import thermos

NAME, PACKAGE = "runc", "runc"

#: Of what `runc spec` proposes: those a task of ours has too.
_NAMESPACES = ("pid", "mount", "ipc", "uts", "cgroup")


def rootfs(directory: Path) -> Path:
    """Make a root file system in which the host's /usr has its place."""
    made = directory / "rootfs"
    for name in ("usr", "proc", "dev", "sys", "tmp", "etc"):
        (made / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):  # Debian has merged them into /usr
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), made / name)
    return made


def bundle(directory: Path, argv: Sequence[str], namespaces: Sequence[str] = _NAMESPACES) -> list[str]:
    """Make a bundle that executes `argv` on the host's /usr. Returns the command line that runs it, whose last
    word is the container's name."""
    rootfs(directory)
    subprocess.run([NAME, "spec"], cwd=directory, check=True)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config["process"].update(terminal=False, args=list(argv))
    del config["process"]["rlimits"]  # raising one takes CAP_SYS_RESOURCE
    config["mounts"].append(
        {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro", "nosuid"]}
    )
    period = 100_000
    config["linux"]["namespaces"] = [{"type": name} for name in namespaces]
    config["linux"]["resources"].update(
        cpu={"quota": thermos.LIMITS["cpu"] * period, "period": period},
        memory={"limit": thermos.LIMITS["ram"]},
        pids={"limit": thermos.LIMITS["pids"]},
    )
    path.write_text(json.dumps(config))
    name = f"bench-{os.getpid()}-{directory.name}"
    return [NAME, "--root", f"{directory}/state", "run", "--bundle", str(directory), name]


def until_it_runs(command: Sequence[str], name: str) -> None:
    """Raises CannotMeasure."""

    def runs() -> bool:
        done = subprocess.run([*command, "state", name], capture_output=True, text=True, check=False)
        return '"status": "running"' in done.stdout

    until(f"the container {name} runs", runs)
