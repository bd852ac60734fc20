"""The ipc namespace: System V IPC objects and POSIX message queues of the sandbox's own."""

from __future__ import annotations

from .kind import Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.ops import Op
    from sandbox.spec import Spec


def _setup(spec: Spec) -> list[Op]:
    return []


ROW = Namespace("ipc", 0x08000000, _setup)
