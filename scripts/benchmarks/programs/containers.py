"""podman and docker: what people run containers with. The root file system and limits of a bundle of runc's."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.commands import run
from benchmarks.kind import NotThere

from . import thermos

_IMAGE = "thermos-bench"

#: Seconds for the first answer; then it will not do.
_PATIENCE = 20

_OPTIONS = [
    *("--rm", "--network", "none", "--read-only", "--volume", "/usr:/usr:ro"),
    *("--cpus", str(thermos.LIMITS["cpu"]), "--memory", str(thermos.LIMITS["ram"])),
    *("--pids-limit", str(thermos.LIMITS["pids"])),
]


@contextmanager
def podman(rootfs: Path, argv: Sequence[str]) -> Generator[list[str]]:
    """The command line. Its storage is beside the root file system, and goes with it. Raises NotThere."""
    store = rootfs.parent / "podman"
    words = [
        *("podman", "--root", str(store / "root"), "--runroot", str(store / "run"), "--tmpdir", str(store / "tmp")),
        # No file system of images, which stays mounted: it takes its files from a directory.
        *("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"),
    ]
    limits = [
        f"--ulimit={name}={hard}:{hard}"  # raising one, as it would, takes CAP_SYS_RESOURCE
        for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
        for hard in [resource.getrlimit(number)[1]]
    ]
    command = [*words, "run", *_OPTIONS, *limits, "--log-driver", "none", "--rootfs", str(rootfs), *argv]
    try:
        _works(command)
        yield command
    finally:
        subprocess.run([*words, "rm", "--all", "--force", "--time", "0"], capture_output=True, check=False)


@contextmanager
def docker(rootfs: Path, argv: Sequence[str]) -> Generator[list[str]]:
    """The command line; the image that it is made from is removed at the end. Raises NotThere without a daemon."""
    _works(["docker", "info"])
    archive = shutil.make_archive(str(rootfs.parent / "rootfs"), "tar", rootfs)
    run(["docker", "import", archive, _IMAGE])
    try:
        yield ["docker", "run", *_OPTIONS, _IMAGE, *argv]
    finally:
        run(["docker", "rmi", _IMAGE])


def _works(argv: list[str]) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise NotThere(f"{argv[0]} does not answer") from None
    if done.returncode:
        why = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise NotThere(f"{argv[0]} does not work here: {why[-1] if why else f'exit status {done.returncode}'}")
