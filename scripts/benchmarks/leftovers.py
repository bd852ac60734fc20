"""What a sandbox may leave on a host: mounts, namespaces, processes, groups, links, addresses, loop devices.

Looked for by what says whose it is: a directory that is in the paths, or a word that is in the names. Links have no
such name: those count that were not there before, and are not there for others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from sandbox.network import BRIDGE
from thermos import paths

from .processes import command_line

#: Seconds for the kernel, and for programs that see to what it does not, to take down what is over.
_PATIENCE = 30


class Host:
    """As it is now, but for what belongs to a directory and a word in names."""

    def __init__(self, directory: Path, word: str) -> None:
        self._directory = str(directory)
        self._word = word
        self._links = set(_links())

    def left(self) -> list[str]:
        """What is there of theirs, and stays: what is seen at each look within half a minute."""
        until = time.monotonic() + _PATIENCE
        stays = self._found()
        while stays and time.monotonic() < until:
            time.sleep(0.1)
            stays &= self._found()
        return sorted(stays)

    def _found(self) -> set[str]:
        leases = {path.name: self._word in path.name + _text(path) for path in _files(paths.NETWORKS)}
        links = set(_links()) - self._links
        if any(name[0].isdigit() and not theirs for name, theirs in leases.items()):
            links.discard(BRIDGE)  # others are on it
        return {
            *self._of_processes(),
            *(f"group {path}" for path in _groups(self._word)),
            *(f"link {name}" for name in links),
            *(f"address of {name}" for name, theirs in leases.items() if theirs),
            *(f"loop device {path}" for path in _loops() if self._directory in _text(path)),
        }

    def _of_processes(self) -> Iterator[str]:
        """Who has the directory in its command line, or sees it in a mount: the host's, or one of a namespace."""
        seen: set[str] = set()
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            if self._directory in command_line(int(entry.name)):
                yield f"process {entry.name}: {command_line(int(entry.name))}"
            try:
                namespace = os.readlink(f"{entry.path}/ns/mnt")
            except OSError:
                continue  # it has ended
            if namespace in seen:
                continue
            mounts = _text(Path(entry.path, "mountinfo"))
            if mounts:
                seen.add(namespace)
            if self._directory in mounts:
                yield f"mount in {namespace}, process {entry.name}: {command_line(int(entry.name))}"


def _links() -> list[str]:
    return os.listdir("/sys/class/net")


def _groups(word: str) -> Iterator[str]:
    for parent, names, _ in os.walk("/sys/fs/cgroup"):
        yield from (f"{parent}/{name}" for name in names if word in name)


def _files(directory: str) -> Iterator[Path]:
    return (path for path in Path(directory).rglob("*") if path.is_file() or path.is_symlink())


def _loops() -> Iterator[Path]:
    return Path("/sys/block").glob("loop*/loop/backing_file")


def _text(path: Path) -> str:
    try:
        return os.readlink(path) if path.is_symlink() else path.read_text(errors="replace")
    except OSError:
        return ""  # gone meanwhile
