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
    """`flag`: its CLONE_NEW* bit. `setup`: the steps its first process carries out inside it. `outside`: steps of a
    process that stays outside a user namespace. `unshares`: its first process leaves the old one by itself."""

    __slots__ = ("flag", "name", "outside", "setup", "unshares")

    def __init__(
        self,
        name: str,
        flag: int,
        setup: Callable[[Spec], list[Op]] = nothing,
        outside: Callable[[Spec], list[Op]] = nothing,
        unshares: bool = True,
    ) -> None:
        self.name = name
        self.flag = flag
        self.setup = setup
        self.outside = outside
        self.unshares = unshares

    def before(self, spec: Spec) -> list[Op]:
        """The steps before any of `setup`, of any row."""
        return [ops.unshare(self.name, self.flag)] if self.unshares else []
