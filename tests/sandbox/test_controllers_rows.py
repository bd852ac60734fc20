"""What the rows of the controllers make of texts and numbers; and that each kernel file is known in one place."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cgroups.controllers import CONTROLLERS, cpu, cpuset, devices, io, memory, needed
from sandbox.cgroups.controllers.kind import keyed, pressure
from sandbox.spec import Limits

NUMBERS = st.sets(st.integers(0, 300), max_size=40)
SPEED = st.none() | st.integers(1, 1 << 40)


# -- weights


@given(st.integers(1, 10_000))
def test_a_weight_survives_the_way_to_version_1_and_back(weight: int) -> None:
    assert cpu.weight(cpu.shares(weight)) == weight
    assert 2 <= cpu.shares(weight) <= 262_144  # what the kernel takes; beyond that it would be another weight


def test_what_every_group_has_from_birth_is_the_same_weight_in_both_versions() -> None:
    assert cpu.shares(100) == 1024


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_two_weights_share_alike_under_both_versions(one: int, other: int) -> None:
    assert cpu.shares(one) / cpu.shares(other) == pytest.approx(one / other, rel=0.06)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_the_disk_schedulers_weights_keep_their_order_and_bounds(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert 1 <= io.bfq_weight(low) <= io.bfq_weight(high) <= 1000


def test_the_ends_and_the_middle_of_the_disk_schedulers_weights() -> None:
    assert [io.bfq_weight(weight) for weight in (1, 100, 10_000)] == [1, 100, 1000]


# -- lists of processors


@given(NUMBERS)
def test_a_set_of_processors_is_read_as_it_is_written(numbers: set[int]) -> None:
    assert cpuset.parse(cpuset.shown(numbers)) == numbers


@given(NUMBERS)
def test_a_set_of_processors_is_written_as_short_as_can_be(numbers: set[int]) -> None:
    runs = sum(1 for number in numbers if number - 1 not in numbers)
    assert len(cpuset.shown(numbers).split(",")) == max(runs, 1)


def test_sets_of_processors_as_the_kernel_writes_them() -> None:
    assert cpuset.shown({0, 1, 3}) == "0-1,3"
    assert cpuset.parse("0-1,3") == {0, 1, 3}
    assert cpuset.parse("") == set()


@pytest.mark.parametrize("text", ["0-", "-1", "a", "1,,2", "3-1", "0 1", "1-2-3", "²"])
def test_what_is_no_list_of_processors_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        cpuset.parse(text)


# -- disks


@given(st.dictionaries(st.sampled_from(["8:0", "254:0", "7:1"]), st.lists(SPEED, min_size=4, max_size=4)))
def test_limits_of_disks_are_read_as_they_are_written(limits: dict[str, list[int | None]]) -> None:
    assert io.io_max("\n".join(io.line(disk, numbers) for disk, numbers in limits.items())) == limits


@given(st.dictionaries(st.sampled_from(["8:0", "254:0", "7:1"]), st.integers(1, 1 << 62)))
def test_throttles_of_version_1_are_read(limits: dict[str, int]) -> None:
    assert io.throttles("\n".join(f"{disk} {number}" for disk, number in limits.items())) == limits


# -- texts of the kernel


@given(st.dictionaries(st.from_regex("[a-z_]{1,9}", fullmatch=True), st.integers(0, 1 << 63), min_size=1))
def test_a_number_is_found_by_its_word_and_by_no_part_of_it(counters: dict[str, int]) -> None:
    text = "\n".join(f"{word} {number}" for word, number in counters.items())
    for word, number in counters.items():
        assert keyed(word)(text) == number
    assert keyed("not there")(text) is None


def test_pressure_is_read_with_and_without_the_line_for_all() -> None:
    some = "some avg10=1.50 avg60=0.20 avg300=0.00 total=123456"
    full = "full avg10=0.25 avg60=0.00 avg300=0.00 total=99"
    assert pressure(f"{some}\n{full}") == (1.5, 123456, 0.25, 99)
    assert pressure(some) == (1.5, 123456, 0.0, 0)
    assert pressure("") is None


@given(st.integers(0, (1 << 62) - 1))
def test_a_memory_limit_is_a_number_below_the_kernels_largest(limit: int) -> None:
    assert memory.limit(str(limit)) == limit
    assert memory.limit(str(limit + (1 << 62))) is None
    assert memory.limit("max") is None


@given(
    st.dictionaries(
        st.from_regex(r"[bc] (\d{1,3}|\*):(\d{1,3}|\*)", fullmatch=True), st.sampled_from(["r", "w", "rw", "rwm"])
    )
)
def test_rules_of_devices_are_read_as_they_are_written(rules: dict[str, str]) -> None:
    assert devices.parse("\n".join(f"{device} {access}" for device, access in rules.items())) == rules


def test_two_rules_for_a_device_are_one_with_the_letters_of_both() -> None:
    assert devices.parse("c 1:3 m\nc 1:3 r") == {"c 1:3": "rm"}


# -- the table


def test_every_limit_belongs_to_one_controller() -> None:
    fields = [field for each in CONTROLLERS.values() for field in each.fields]
    assert sorted(fields) == sorted(Limits.__slots__)


def test_only_what_is_asked_for_needs_a_controller_beyond_the_usual() -> None:
    assert needed(Limits(cpu=1, memory=1, pids=1, swap=0, oom="group")) == []
    assert needed(Limits(cpus="0"), Limits(io_weight=5), Limits(mems="0")) == ["io", "cpuset"]
    assert needed(Limits(devices=())) == ["devices"]


def test_limits_name_what_is_asked_of_them_and_can_be_made_again_from_that() -> None:
    limits = Limits(0.5, pids=3, swap=0, devices=())
    assert limits.asked() == {"cpu": 0.5, "pids": 3, "swap": 0, "devices": ()}
    assert Limits(**limits.asked()).asked() == limits.asked()


KERNEL_FILE = re.compile(r"/?(cpu|cpuacct|memory|pids|io|blkio|cpuset|devices)\.[a-z_.]+")


def test_the_name_of_a_controllers_file_is_written_once() -> None:
    """Others take it from its row. Texts that describe (docstrings, reasons) may name one."""
    root = Path(__file__).parents[2]
    found: dict[str, list[str]] = {}
    for path in (root / "sandbox").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and KERNEL_FILE.fullmatch(node.value):
                found.setdefault(node.value.lstrip("/"), []).append(str(path.relative_to(root)))
    rows = {name: where for name, where in found.items() if any("controllers" in path for path in where)}
    assert {"cpu.max", "memory.limit_in_bytes", "pids.max"} <= set(rows)
    assert {name: where for name, where in rows.items() if len(where) > 1} == {}
