"""The time namespace: CLOCK_MONOTONIC and CLOCK_BOOTTIME with an offset. The time of day is everybody's."""

from __future__ import annotations

from sandbox import ops

from .kind import Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.ops import Op
    from sandbox.spec import Spec


def _setup(spec: Spec) -> list[Op]:
    clocks = [] if spec.clocks is None else [ops.set_clocks(*spec.clocks)]
    return [*clocks, ops.enter_time()]


ROW = Namespace("time", 0x00000080, _setup)
