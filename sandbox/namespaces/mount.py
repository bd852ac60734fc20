"""The mount namespace: the host's file systems, with a /tmp, a /dev/shm and a /proc of the sandbox's own."""

from __future__ import annotations

from sandbox import ops

from .kind import Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.ops import Op
    from sandbox.spec import Spec

_SLAVE = 1 << 19
_REC = 16384
_NOSUID_NODEV_NOEXEC = 2 | 4 | 8


def _setup(spec: Spec) -> list[Op]:
    steps = [
        # Slave, not private: what the host mounts later is seen inside, and nothing inside reaches the host.
        ops.mount("mount", "mount", None, "/", None, _SLAVE | _REC),
        ops.cover("mount", "/tmp", "mode=1777", spec.keep),
        ops.cover("mount", "/dev/shm", "mode=1777", spec.keep),
    ]
    if "pid" in spec.namespaces:
        steps.append(ops.mount("mount", "/proc", "proc", "/proc", "proc", _NOSUID_NODEV_NOEXEC))
    return steps


ROW = Namespace("mount", 0x00020000, _setup)
