"""The uts namespace: a host name of the sandbox's own."""

from __future__ import annotations

from sandbox import ops

from .kind import Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.ops import Op
    from sandbox.spec import Spec


def _setup(spec: Spec) -> list[Op]:
    return [] if spec.hostname is None else [ops.sethostname(spec.hostname)]


ROW = Namespace("uts", 0x04000000, _setup)
