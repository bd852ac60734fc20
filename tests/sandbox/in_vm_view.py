"""Sandboxes on Linux 6.1, which has one tree of groups and neither time namespaces nor a tmpfs that maps ids.

Tells what `starter.py` answered in each story, and what the process printed. See test_view_in_vm.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))
from telling import tell_all

HERE = Path(__file__).parent
SOME = ["pid", "mount", "ipc", "uts", "cgroup", "net"]
UID = 12345
LOOK = """
    cut -d: -f3 /proc/self/cgroup; id -u; ls /dev | wc -l; cat /proc/1/comm
    for d in / /etc /sys/fs/cgroup /proc/sys/kernel; do touch $d/x 2>/dev/null && echo "written: $d"; done
    touch here /tmp/x /dev/shm/x && echo written
"""


def start(name: str, **asked: Any) -> dict[str, Any]:
    directory = Path("/tmp/stories") / name / "sandbox"
    directory.mkdir(parents=True)
    directory.chmod(0o777)
    directory.parent.chmod(0o777)
    spec = {"sandbox": str(directory), "read_only": True, "dev": True, "masks": True, **asked.pop("spec", {})}
    asked = {
        "namespaces": SOME,
        "directory": str(directory),
        "never": str(directory.parent / "never"),
        "argv": ["/bin/sh", "-c", LOOK],
        "spec": spec,
        **asked,
    }
    command = [sys.executable, str(HERE / "starter.py")]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr}
    answer: dict[str, Any] = json.loads(done.stdout)
    logs = directory / ".logs/p/0"
    if (logs / "stdout").exists():
        answer["out"] = (logs / "stdout").read_text().splitlines()
        answer["err"] = (logs / "stderr").read_text()
    return answer


def root_of_its_own() -> str:
    sys.path.insert(0, str(HERE))
    from roots import make_root

    return str(make_root(Path("/tmp/stories/files")))


def main() -> None:
    os.umask(0o022)
    group = Path("/sys/fs/cgroup/story")
    group.mkdir()
    many = {"uids": [[0, 100000, 65536]], "gids": [[0, 100000, 65536]]}
    alone = {"uids": [[UID, UID, 1]], "gids": [[UID, UID, 1]]}
    own = {"lower": [root_of_its_own()]}
    mapped = {"users": many, "sandbox_id_mapped": True}
    stories: dict[str, Callable[[], dict[str, Any]]] = {
        "host": partial(start, "host", cgroups=[f"{group}/cgroup.procs"]),
        "time": partial(start, "time", namespaces=[*SOME, "time"]),
        "time left out": partial(start, "left", namespaces=[*SOME, "time"], left_out=["time"]),
        "root": partial(start, "root", spec={"root": own}, argv=["/bin/sh", "-c", "ls /; echo > /new"]),
        "users": partial(start, "users", namespaces=["user", *SOME], spec={"users": many}, credentials=[7, 7, []]),
        "ids": partial(start, "ids", namespaces=["user", *SOME], spec=mapped, credentials=[7, 7, []]),
        "rootless": partial(start, "rootless", namespaces=["user", *SOME], spec={"users": alone}, caller=UID),
    }
    tell_all(stories)


main()
