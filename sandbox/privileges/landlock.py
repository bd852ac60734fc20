"""Paths, TCP ports and scopes that a process keeps to: landlock(7). Only where it is asked.

What a kernel's version of the interface does not have is left out of the steps, and told by `lacking`.
"""

from __future__ import annotations

from .kind import Privilege, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .asked import Landlock, Privileges
    from .kind import Kernel, Step

# LANDLOCK_ACCESS_FS_*, <linux/landlock.h>.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_CHAR, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM = (1 << bit for bit in range(6, 13))
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

_READ = _READ_FILE | _READ_DIR
_CHANGE = (
    *(_WRITE_FILE, _REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_SYM),
    *(_REFER, _TRUNCATE, _IOCTL_DEV),
)
#: What may be changed may be read. Device files are made nowhere.
_WRITE = _READ | sum(_CHANGE)
_ALL_FILES = _WRITE | _EXECUTE | _MAKE_CHAR | _MAKE_BLOCK

#: Since which version: bits of files, and what is missing without them.
_SINCE = (
    (2, _REFER, None),  # before, moving a file to another directory is never allowed: stricter, not milder
    (3, _TRUNCATE, "files that may only be read can still be cut off"),
    (5, _IOCTL_DEV, "device files that can be opened can be controlled"),
)
_NET_SINCE, _SCOPED_SINCE = 4, 6
_BIND, _CONNECT = 1, 2
_SCOPES = {"abstract-unix-socket": 1, "signal": 2}


def _handled(kernel: Kernel) -> int:
    return _ALL_FILES & ~sum(bits for since, bits, _ in _SINCE if kernel.landlock < since)


def _restricts_files(asked: Landlock) -> bool:
    return any(paths is not None for paths in (asked.read, asked.write, asked.execute))


def _steps(asked: Privileges, kernel: Kernel, root_user: bool) -> list[Step]:
    given = asked.landlock
    if given is None:
        return []
    scoped = _scoped(given.scoped)
    files = _handled(kernel) if _restricts_files(given) else 0
    rights: dict[str, int] = {}
    for field, paths, bits in (("read", given.read, _READ), ("write", given.write, _WRITE)):
        _add(rights, field, paths, bits & files)
    _add(rights, "execute", given.execute, (_READ | _EXECUTE) & files)
    ports: dict[int, int] = {}
    net = 0
    for field, numbers, bit in (("bind", given.bind, _BIND), ("connect", given.connect, _CONNECT)):
        if numbers is not None:
            net |= bit
            for port in numbers:
                if not 0 <= port <= 65535:
                    raise Refused(f"landlock.{field}", f"{port} is not a port")
                ports[port] = ports.get(port, 0) | bit
    if kernel.landlock < _NET_SINCE:
        net, ports = 0, {}
    if kernel.landlock < _SCOPED_SINCE:
        scoped = 0
    if not kernel.landlock or not (files or net or scoped):
        return []
    return [("landlock", files, net, scoped, tuple(sorted(rights.items())), tuple(sorted(ports.items())))]


def _add(rights: dict[str, int], field: str, paths: Iterable[str] | None, bits: int) -> None:
    for path in paths or ():
        if not path.startswith("/"):
            raise Refused(f"landlock.{field}", f"{path!r} does not begin with /")
        rights[path] = rights.get(path, 0) | bits


def _scoped(names: Iterable[str]) -> int:
    bits = 0
    for name in names:
        if name not in _SCOPES:
            raise Refused("landlock.scoped", f"{name!r} is not one of {', '.join(_SCOPES)}")
        bits |= _SCOPES[name]
    return bits


def _describe(asked: Privileges, root_user: bool) -> list[tuple[str, str]]:
    given = asked.landlock
    if given is None:
        return []
    said: list[tuple[str, str]] = []
    for field in ("read", "write", "execute", "bind", "connect"):
        values = getattr(given, field)
        if values is not None:
            said.append((f"landlock {field}", " ".join(map(str, values)) or "nothing"))
    said += [(f"landlock scoped {name}", "yes") for name in given.scoped]
    return said


def _lacking(asked: Privileges, kernel: Kernel) -> list[tuple[str, str]]:
    given = asked.landlock
    if given is None:
        return []
    if not kernel.landlock:
        return [
            (what, "this kernel has no Landlock, or it is not among its lsm=") for what, _ in _describe(asked, False)
        ]
    found: list[tuple[str, str]] = []
    version = f"version {kernel.landlock} of Landlock"
    if _restricts_files(given):
        for since, _, missing in _SINCE:
            if missing and kernel.landlock < since:
                found.append(("landlock files", f"{version}, this kernel's, comes before {since}: {missing}"))
    for field, since in (("bind", _NET_SINCE), ("connect", _NET_SINCE)):
        if getattr(given, field) is not None and kernel.landlock < since:
            found.append((f"landlock {field}", f"{version}, this kernel's, knows no ports; {since} does"))
    if kernel.landlock < _SCOPED_SINCE:
        since = _SCOPED_SINCE
        found += [(f"landlock scoped {name}", f"{version} knows no scopes; {since} does") for name in given.scoped]
    return found


ROW = Privilege("landlock", _steps, _describe, _lacking)
