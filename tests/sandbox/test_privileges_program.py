"""A program means what its profile says: for any profile and any call, as `filter_interpreter` runs it."""

from __future__ import annotations

import errno

import pytest
from filter_interpreter import run
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.seccomp.numbers import NUMBERS
from sandbox.seccomp.profile import (
    ALLOW,
    EQ,
    ERRNO,
    GE,
    GT,
    KILL_PROCESS,
    LE,
    LOG,
    LT,
    MASKED_EQ,
    MASKED_NE,
    NE,
    Condition,
    Profile,
    Rule,
)
from sandbox.seccomp.program import AUDIT_ARCH, program

ENOSYS = ERRNO | errno.ENOSYS
I386, X32 = 0x40000003, 0x40000000


def meant(profile: Profile, machine: str, number: int, arguments: tuple[int, ...]) -> int:
    """The docstring of `Profile` and of `sandbox.seccomp.profile`, word by word."""
    numbers = NUMBERS[machine]
    if number >= X32:
        return ENOSYS
    rules = [rule for rule in profile.rules if numbers.get(rule.name) == number]
    named = max((numbers[rule.name] for rule in profile.rules if rule.name in numbers), default=-1)
    if (number not in numbers.values()) or (profile.reaches and number > named):
        return profile.unknown
    for rule in rules:
        if not rule.conditions:
            return rule.action
    for rule in rules:
        if all(holds(condition, arguments[condition.argument]) for condition in rule.conditions):
            return rule.action
    return profile.default


def holds(condition: Condition, argument: int) -> bool:
    match condition.operator:
        case 0:
            return argument == condition.value
        case 1:
            return argument != condition.value
        case 2:
            return argument < condition.value
        case 3:
            return argument <= condition.value
        case 4:
            return argument > condition.value
        case 5:
            return argument >= condition.value
        case 6:
            return (argument ^ condition.value) & condition.mask == 0
        case _:
            return (argument ^ condition.value) & condition.mask != 0


#: Where halves meet and where they overflow; and anything.
WORDS = st.one_of(
    st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**33 - 1, 2**63, 2**64 - 1]),
    st.builds(lambda high, low: high << 32 | low, st.integers(0, 2), st.integers(0, 2)),
    st.integers(0, 2**64 - 1),
)
ACTIONS = st.sampled_from([ALLOW, LOG, KILL_PROCESS, ERRNO | errno.EPERM, ERRNO | errno.EACCES])
CONDITIONS = st.builds(
    Condition, st.integers(0, 5), st.sampled_from([EQ, NE, LT, LE, GT, GE, MASKED_EQ, MASKED_NE]), WORDS, WORDS
)
MACHINES = st.sampled_from(["x86_64", "aarch64"])


@st.composite
def profiles(draw: st.DrawFn, machine: str) -> Profile:
    # Few names, so that there are several rules for one; or many, so that jumps are long.
    names = sorted(NUMBERS[machine])
    several = st.sampled_from(names[:: draw(st.sampled_from([1, 3, 100]))])
    conditions = st.lists(CONDITIONS, max_size=3)
    rules = draw(st.lists(st.builds(Rule, several, ACTIONS, conditions), max_size=draw(st.sampled_from([3, 30, 200]))))
    return Profile(draw(ACTIONS), rules, draw(st.sampled_from([ENOSYS, ALLOW])), reaches=draw(st.booleans()))


@given(st.data(), MACHINES)
@settings(max_examples=300, deadline=None)
def test_a_program_answers_as_its_profile_says(data: st.DataObject, machine: str) -> None:
    profile = data.draw(profiles(machine))
    text = program(profile, machine)
    known = [NUMBERS[machine][rule.name] for rule in profile.rules] or [0]
    edges = st.sampled_from([0, max(known), max(known) + 1, max(NUMBERS[machine].values()) + 1, 400, X32, X32 + 1])
    calls = st.tuples(st.one_of(st.sampled_from(known), st.integers(0, 500), edges), st.tuples(*[WORDS] * 6))
    values = [condition.value for rule in profile.rules for condition in rule.conditions] or [0]
    for number, arguments in data.draw(st.lists(calls, min_size=5, max_size=20)):
        # Arguments at, and one beside, what the rules ask for: chance would never hit 64 bits.
        near = data.draw(st.tuples(*[st.sampled_from(values)] * 6))
        beside = data.draw(st.tuples(*[st.integers(-1, 1)] * 6))
        for each in (arguments, near, tuple((a + b) % 2**64 for a, b in zip(near, beside, strict=True))):
            assert run(text, AUDIT_ARCH[machine], number, each) == meant(profile, machine, number, each)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_jumps_reach_over_more_than_255_instructions(machine: str) -> None:
    names = sorted(NUMBERS[machine], key=NUMBERS[machine].__getitem__)
    rules = [Rule(name, ERRNO | at % 4000 + 1, [Condition(0, EQ, at << 33 | at)]) for at, name in enumerate(names)]
    profile = Profile(ALLOW, rules)
    text = program(profile, machine)
    assert len(text) // 8 > 5 * 255
    for at, name in enumerate(names):
        number, arch = NUMBERS[machine][name], AUDIT_ARCH[machine]
        assert run(text, arch, number, (at << 33 | at, 0, 0, 0, 0, 0)) == ERRNO | at % 4000 + 1
        assert run(text, arch, number, (at << 33 | at + 1, 0, 0, 0, 0, 0)) == ALLOW


def test_calls_by_another_entry_end_the_process() -> None:
    text = program(Profile(ALLOW, []), "x86_64")
    assert run(text, AUDIT_ARCH["x86_64"], 0, (0,) * 6) == ALLOW
    assert run(text, I386, 0, (0,) * 6) == KILL_PROCESS


def test_a_call_of_x32_does_not_exist_even_where_all_unknown_ones_are_allowed() -> None:
    text = program(Profile(ALLOW, [], ALLOW), "x86_64")
    assert run(text, AUDIT_ARCH["x86_64"], 100_000, (0,) * 6) == ALLOW
    assert run(text, AUDIT_ARCH["x86_64"], X32 + 1, (0,) * 6) == ENOSYS
    assert run(text, AUDIT_ARCH["x86_64"], -1 & 0x7FFFFFFF, (0,) * 6) == ENOSYS


def test_a_search_by_halves_takes_few_steps() -> None:
    names = sorted(NUMBERS["x86_64"])[::2]
    text = program(Profile(ALLOW, [Rule(name, ERRNO) for name in names]), "x86_64")
    assert len(text) // 8 < 300
