"""From what is asked to the steps that give it, as plain values. Pure.

What makes a plan is imported when one is made: who only carries one out has no use for it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TypeAlias

    from .ops import Op
    from .spec import Spec

    Ids: TypeAlias = "tuple[tuple[int, int, int], ...]"

_NEWUSER = 0x10000000
_NEWPID = 0x20000000


class Plan:
    """`clone`: the pid namespace's bit, for the process that forks. `first`: steps of the sandbox's first process.
    `enter`: the bits of the namespaces that each later process enters. `required`: parts that were asked for: without
    one of them the sandbox is not to be. A root of its own always is: what was to be in it must not run in the host's.

    With a user namespace `clone` is 0 and the pid namespace's bit is in `enter`: it belongs to the user namespace, and
    only who is inside that can make it or enter it. `users`: its ids (see `spec.Users`), and `outside`: steps of a
    process that stays outside it."""

    __slots__ = ("clone", "enter", "first", "outside", "required", "users")

    def __init__(
        self,
        clone: int,
        first: Sequence[Op],
        enter: int,
        users: tuple[Ids, Ids] | None = None,
        outside: Sequence[Op] = (),
        required: Iterable[str] = (),
    ) -> None:
        self.clone = clone
        self.first = list(first)
        self.enter = enter
        self.users = users
        self.outside = list(outside)
        self.required = frozenset(required)


def plan(spec: Spec, required: Iterable[str] = ()) -> Plan:
    """The steps for a spec. Every namespace is left for a new one first, and each is then furnished in its turn."""
    from .namespaces import NAMESPACES

    rows = [row for name, row in NAMESPACES.items() if name in spec.namespaces]
    first = [op for row in rows for op in row.before(spec)]
    first += [op for row in rows for op in row.setup(spec)]
    outside = [op for row in rows for op in row.outside(spec)]
    bits = 0
    for row in rows:
        bits |= row.flag
    users = None if spec.users is None else (spec.users.uids, spec.users.gids)
    clone = 0 if users else bits & _NEWPID
    always = ("mount", "root") if spec.root is not None else ()
    return Plan(clone, first, bits & ~clone, users, outside, (*required, *always))


def without(given: Plan, part: str) -> Plan:
    """The plan less a part that the host could not give. Less a namespace: less all that belongs to it."""
    if part in ("root", "sandbox"):  # what was to be put into it would be made in the host's; what hides it would stay
        part = "mount"
    left = [op for op in given.first if op[0] != part and op[1] != part]
    outside = [op for op in given.outside if op[0] != part and op[1] != part]
    clone, enter, users = given.clone, given.enter, given.users
    for op in given.first:
        if op[1] == part and op[2] == "unshare":
            (flag,) = op[3]
            assert isinstance(flag, int)
            enter &= ~flag
    if part == "pid":
        clone, enter = clone & ~_NEWPID, enter & ~_NEWPID
        left = [op for op in left if op[1] != "/proc"]  # a new one would show all processes, and be called private
    if part == "user":
        clone, enter, users, outside = enter & _NEWPID, enter & ~(_NEWUSER | _NEWPID), None, []
    return Plan(clone, left, enter, users, outside, given.required)


def parts(given: Plan) -> list[str]:
    """What a plan gives, each part once."""
    user = ["user"] if given.enter & _NEWUSER else []
    pid = ["pid"] if (given.clone | given.enter) & _NEWPID else []
    return list(dict.fromkeys([*user, *pid, *(op[1] for op in [*given.outside, *given.first])]))


def to_words(given: Plan) -> tuple[Any, ...]:
    """As tuples, texts and numbers: marshal and JSON take them."""
    return (
        given.clone,
        given.enter,
        tuple(given.first),
        given.users,
        tuple(given.outside),
        tuple(sorted(given.required)),
    )


def from_words(words: Sequence[Any]) -> Plan:
    clone, enter, first, users, outside, required = words
    if users is not None:
        uids, gids = (tuple((inside, outer, count) for inside, outer, count in rows) for rows in users)
        users = (uids, gids)
    return Plan(clone, first, enter, users, outside, required)
