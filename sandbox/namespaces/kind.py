"""The shape of a row: a kind of namespace."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.ops import Op
    from sandbox.spec import Spec


class Namespace:
    """`flag`: its CLONE_NEW* bit. `setup`: the steps its first process carries out inside it."""

    __slots__ = ("flag", "name", "setup")

    def __init__(self, name: str, flag: int, setup: Callable[[Spec], list[Op]]) -> None:
        self.name = name
        self.flag = flag
        self.setup = setup
