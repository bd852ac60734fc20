"""The user namespace: ids of the sandbox's own. All its other namespaces belong to it, so nothing here needs root.

It is made before the first process is forked (see `sandbox.spawn`), and its ids are written from outside.
"""

from __future__ import annotations

from sandbox import ops

from .kind import Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.ops import Op
    from sandbox.spec import Spec


def _before(spec: Spec) -> list[Op]:
    return [] if spec.users is None or spec.users.alone() else [ops.become_root()]


ROW = Namespace("user", 0x10000000, before=_before)
