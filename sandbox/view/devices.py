"""A /dev of the sandbox's own: the devices that every program expects, and terminals, and nothing else. Pure."""

from __future__ import annotations

from sandbox import ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.ops import Op
    from sandbox.spec import Spec

#: With their numbers, Documentation/admin-guide/devices.txt of Linux.
DEVICES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)

LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)

#: Group tty, which writes to terminals: 5 wherever there is one. A user namespace need not have it.
_TTY = 5


def has_own(spec: Spec) -> bool:
    """A root of its own has nothing of the host's, and every program expects something there."""
    return spec.dev or spec.root is not None


def places(spec: Spec) -> list[tuple[str, list[Op]]]:
    if not has_own(spec):
        return []
    data = "newinstance,ptmxmode=0666,mode=0620"
    if spec.users is None:
        data += f",gid={_TTY}"
    steps = [
        ("/dev", [ops.devices(DEVICES, LINKS)]),
        ("/dev/pts", [ops.filesystem("/dev/pts", "devpts", "/dev/pts", ops.NOSUID | ops.NOEXEC, data)]),
    ]
    if "ipc" in spec.namespaces:
        flags = ops.NOSUID | ops.NODEV | ops.NOEXEC
        steps.append(("/dev/mqueue", [ops.filesystem("/dev/mqueue", "mqueue", "/dev/mqueue", flags)]))
    return steps
