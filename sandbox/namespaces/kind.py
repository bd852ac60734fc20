"""The shape of a row: a kind of namespace."""

from __future__ import annotations

from sandbox import ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.ops import Op
    from sandbox.spec import Spec


def nothing(spec: Spec) -> list[Op]:
    return []


class Namespace:
    """`flag`: its CLONE_NEW* bit, <linux/sched.h>. `before`: the steps of its first process before any of `setup`, of
    whatever row; None: to leave the old one. `setup`: those that it carries out inside. `outside`: steps of a process
    that stays outside a user namespace."""

    __slots__ = ("before", "flag", "name", "outside", "setup")

    def __init__(
        self,
        name: str,
        flag: int,
        setup: Callable[[Spec], list[Op]] = nothing,
        outside: Callable[[Spec], list[Op]] = nothing,
        before: Callable[[Spec], list[Op]] | None = None,
    ) -> None:
        self.name = name
        self.flag = flag
        self.setup = setup
        self.outside = outside
        self.before = before or self._leave

    def _leave(self, spec: Spec) -> list[Op]:
        return [ops.unshare(self.name, self.flag)]
