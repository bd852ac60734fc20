"""The pid namespace: processes see and signal only their own. Its first process's end is the end of all."""

from __future__ import annotations

from .kind import Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.ops import Op
    from sandbox.spec import Spec


def _setup(spec: Spec) -> list[Op]:
    return []  # its own /proc belongs to the mount namespace


ROW = Namespace("pid", 0x20000000, _setup)
