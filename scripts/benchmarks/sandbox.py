"""A full sandbox: all namespaces, files of its own, limits, few privileges. The library's, and a whole `thermos run`.

What container runtimes take for the same: runc, which makes one and goes; podman and docker, which keep images,
networks and logs beside.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from .commands import DEADLINE, run
from .kind import CannotMeasure, Place, Row, Sample, Side
from .programs import containers, library, runc, thermos

_TRUE = ["/bin/true"]

#: runc's, with a network namespace in which nothing is but the loopback.
_ALONE = ("pid", "mount", "ipc", "uts", "cgroup", "network")

#: Processes that `runc exec` starts for one figure.
_OFTEN = 5


def _library(what: str) -> Side:
    @contextmanager
    def ready(place: Place) -> Generator[Sample]:
        with library.making(place, what) as sample:
            yield sample

    return Side(library.NAME, thermos.THERMOS, library.PACKAGE, ready)


@contextmanager
def _ours(place: Place) -> Generator[Sample]:
    """A root file system, /usr in it, no network but its own loopback, and limits."""
    task = thermos.one_process(_TRUE)
    volume = {"host_path": "/usr", "container_path": "/usr", "mode": "RO"}
    sandbox = {"rootfs": str(runc.rootfs(place.directory)), "network": "none", "read_only": True, "volumes": [volume]}
    file = thermos.write_json(place.directory / "task.json", {**task, "sandbox": sandbox})
    yield lambda: thermos.run_task(file, place.directory / "root")[0].took * 1000


def _runc(namespaces: Sequence[str] | None = None) -> Side:
    @contextmanager
    def ready(place: Place) -> Generator[Sample]:
        argv = runc.bundle(place.directory, _TRUE, *([namespaces] if namespaces else []))
        yield lambda: run(argv).took * 1000

    return Side(runc.NAME, runc.NAME, runc.PACKAGE, ready)


@contextmanager
def _exec(place: Place) -> Generator[Sample]:
    """What `runc exec` of a process takes more than the process by itself."""
    *words, name = runc.bundle(place.directory, ["/bin/sleep", "infinity"])
    command = words[: words.index("run")]
    with subprocess.Popen([*words, name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as running:
        try:
            runc.until_it_runs(command, name)

            def sample() -> float:
                inside = min(run([*command, "exec", name, *_TRUE]).took for _ in range(_OFTEN))
                return (inside - min(run(_TRUE).took for _ in range(_OFTEN))) * 1000

            yield sample
        finally:
            run([*command, "kill", name, "KILL"])
            try:
                running.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                raise CannotMeasure("cannot measure runc: what it runs was killed and has not ended") from None


def _container(
    name: str, package: str, command: Callable[[Path, Sequence[str]], AbstractContextManager[list[str]]]
) -> Side:
    @contextmanager
    def ready(place: Place) -> Generator[Sample]:
        with command(runc.rootfs(place.directory), _TRUE) as argv:
            yield lambda: run(argv).took * 1000

    return Side(name, name, package, ready)


_OURS = Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _ours)
_WHAT = "one `true` in a root file system and network of its own, whole run"

ROWS = (
    Row("sandbox", "the library: a full sandbox, one `true` in it, and its end", "ms", _library("whole"), _runc(), 1.5),
    Row(
        "sandbox-process",
        "the library: what a further process in a sandbox takes more than one outside",
        "ms",
        _library("processes"),
        Side("runc exec", runc.NAME, runc.PACKAGE, _exec),
        most=2,
    ),
    Row("sandbox-run", _WHAT, "ms", _OURS, _runc(_ALONE)),
    Row("sandbox-podman", _WHAT, "ms", _OURS, _container("podman", "podman", containers.podman), 1),
    Row("sandbox-docker", _WHAT, "ms", _OURS, _container("docker", "docker.io", containers.docker), 1),
)
