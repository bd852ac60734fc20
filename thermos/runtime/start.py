"""Starting keeper and supervisor: command lines in the smallest interpreter there is. Imports next to nothing."""

from __future__ import annotations

import _socket
import os
import sys

_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def command(module: str, *arguments: object) -> list[str]:
    """A command line that runs `main` of a module of `thermos.runtime`, without site packages' start-up code.

    What it imports stays, so garbage is not looked for among it: neither while it is imported nor later, when a forked
    child that does would copy every page that it looks at.
    """
    roots = list(dict.fromkeys([_HERE, *(path for path in sys.path if path.endswith("-packages"))]))
    code = (
        f"import gc; gc.disable(); import sys; sys.path[:0] = {roots!r}; from thermos.runtime.{module} import main; "
        "gc.freeze(); gc.enable(); main()"
    )
    return [sys.executable, "-I", "-S", "-E", "-X", "utf8", "-c", code, *map(str, arguments)]


def start_supervisor() -> tuple[int, int]:
    """Start a supervisor that waits for its charge: our end of the socket between us, and its pid."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    os.set_inheritable(theirs.fileno(), True)
    argv = command("supervisor", theirs.fileno())
    pid = os.posix_spawn(argv[0], argv, dict(os.environ), setsid=True, setsigmask=())
    theirs.close()
    return ours.detach(), pid


def start_keeper(root: str, task_id: str, sandbox: str, lock: int, supervisor: int) -> int:
    """Start a keeper in place of one that died, for a supervisor that lives: the supervisor's end of the socket."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    for fd in (theirs.fileno(), lock):
        os.set_inheritable(fd, True)
    argv = command("keeper", root, task_id, sandbox, lock, theirs.fileno(), supervisor, -1, 0)
    os.posix_spawn(argv[0], argv, dict(os.environ), setsid=True, setsigdef=range(1, 32))
    os.set_inheritable(lock, False)
    theirs.close()
    return ours.detach()
