"""The network namespace: interfaces, addresses and ports of the sandbox's own. At first there is but the loopback."""

from __future__ import annotations

from sandbox import ops

from .kind import Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.ops import Op
    from sandbox.spec import Spec


def _setup(spec: Spec) -> list[Op]:
    return [ops.loopback()]


ROW = Namespace("net", 0x40000000, _setup)
