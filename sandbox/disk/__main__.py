"""What of disk limits takes time, as programs of their own: `python -I -m sandbox.disk watch|end`.

Each reads a Disk, one line of JSON, from standard input. `watch` writes lines as `watch` in this package says, and goes
away when its standard input ends or its parent dies. `end` writes {"kept": "" or what has to stay and why}, and goes on
when its parent dies: what is under way would only have to be done again. Both are niced.

Exit status: 0; 1: could not, with the reason on standard error; 2: wrong usage.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from sandbox import syscalls
from sandbox.cgroups.kernel import write

from .kinds import CannotLimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .usage import Disk


def main(arguments: list[str]) -> int:
    if arguments not in (["watch"], ["end"]):
        print("cannot tell what to do: python -m sandbox.disk watch|end, with a disk's JSON as input", file=sys.stderr)
        return 2
    os.nice(10)
    try:
        disk: Disk = json.loads(_line())
        if arguments == ["end"]:
            _end(disk)
        else:
            _watch(disk)
    except (CannotLimit, OSError, ValueError, KeyError) as error:
        print(f"cannot {arguments[0]}: {error}", file=sys.stderr)
        return 1
    return 0


def _line() -> bytes:
    """Byte by byte, so that what comes later is left for the one who waits for the end."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line


def _watch(disk: Disk) -> None:
    from .watch import watch

    if os.geteuid():
        _see_what_is_ours()
    syscalls.die_with_parent(signal.SIGKILL)

    def tell(line: str) -> None:
        os.write(1, line.encode() + b"\n")

    try:
        watch(disk, 0, tell)
    except BrokenPipeError:
        pass


def _see_what_is_ours() -> None:
    """Look into all directories of our user and group, those too that it has closed to itself: else files in there
    would be held to no limit. In a user namespace of our own we may; where there is none to be had, they are `unread`.
    """
    ours = {"uid_map": os.geteuid(), "gid_map": os.getegid()}
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        write("/proc/self/setgroups", "deny")
        for name, number in ours.items():
            write(f"/proc/self/{name}", f"{number} {number} 1")
    except OSError:
        pass


def _end(disk: Disk) -> None:
    from .limit import end

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    print(json.dumps({"kept": end(disk)}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
