"""runc: Open Containers' reference runtime. A bundle with the namespaces and limits that a task of ours has."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import thermos

NAME, PACKAGE = "runc", "runc"

#: Of what `runc spec` proposes: those a task of ours has too.
_NAMESPACES = ("pid", "mount", "ipc", "uts")


def bundle(directory: Path, argv: Sequence[str]) -> list[str]:
    """Make a bundle that executes `argv` on the host's /usr. Returns the command line that runs it."""
    rootfs = directory / "rootfs"
    for name in ("usr", "proc", "dev", "sys", "tmp"):
        (rootfs / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):  # Debian has merged them into /usr
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), rootfs / name)
    subprocess.run([NAME, "spec"], cwd=directory, check=True)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config["process"].update(terminal=False, args=list(argv))
    del config["process"]["rlimits"]  # raising one takes CAP_SYS_RESOURCE
    config["mounts"].append(
        {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro", "nosuid"]}
    )
    period = 100_000
    config["linux"]["namespaces"] = [{"type": name} for name in _NAMESPACES]
    config["linux"]["resources"].update(
        cpu={"quota": thermos.LIMITS["cpu"] * period, "period": period},
        memory={"limit": thermos.LIMITS["ram"]},
        pids={"limit": thermos.LIMITS["pids"]},
    )
    path.write_text(json.dumps(config))
    name = f"bench-{os.getpid()}-{directory.name}"
    return [NAME, "--root", f"{directory}/state", "run", "--bundle", str(directory), name]
