"""Limits of a group in which runs begin and end meanwhile: what was right a moment ago is looked at again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from deadline import until

from sandbox.cgroups import files, limits, tree
from sandbox.cgroups.controllers import needed
from sandbox.cgroups.controllers.kind import Change
from sandbox.spec import Limits

pytestmark = pytest.mark.root

Group = dict[str, str]
When = Callable[[Callable[[], object]], None]


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    group = tree.make(f"test-{os.getpid()}-{tmp_path.name}", needed(Limits(cpus="")))
    if tree.version(group) == 2:
        pytest.skip("in version 2 no group has to wait for another")
    yield group
    until(lambda: tree.remove_tree(group), f"{group} is still there")


@pytest.fixture
def before_writing(monkeypatch: pytest.MonkeyPatch) -> When:
    """Have something happen once, between the look at the groups below and the first write."""
    writes = limits._write_all

    def when(happens: Callable[[], object]) -> None:
        pending = [happens]

        def write_all(change: Change, directory: str) -> tuple[str, list[tuple[str, str]]]:
            if pending:
                pending.pop()()
            return writes(change, directory)

        monkeypatch.setattr(limits, "_write_all", write_all)

    return when


def had(answers: Sequence[limits.Answer]) -> list[str | None]:
    return [got for _, _, got, _ in answers]


def leaf_of(group: Group, name: str, wanted: Limits) -> Group:
    tree.make_leaf(group, name)
    leaf = tree.leaf_group(group, name)
    assert None not in had(tree.limit(leaf, wanted))
    return leaf


def test_a_run_that_begins_meanwhile_does_not_keep_its_group_from_having_less(
    group: Group, before_writing: When
) -> None:
    tree.limit(group, Limits(cpu=2))
    before_writing(lambda: leaf_of(group, "run.0", Limits(cpu=2)))
    assert had(tree.limit(group, Limits(cpu=1))) == ["1 cores (cgroup v1)"]
    assert files.CpuV1(f"{group['cpu']}/run.0").quota == 100_000


def test_a_group_that_gets_less_meanwhile_does_not_keep_a_run_from_beginning(
    group: Group, before_writing: When
) -> None:
    tree.limit(group, Limits(cpu=2))
    leaf = leaf_of(group, "run.0", Limits())
    before_writing(lambda: Path(group["cpu"], "cpu.cfs_quota_us").write_text("100000"))
    assert had(tree.limit(leaf, Limits(cpu=2))) == ["1 cores (cgroup v1)"]


@pytest.mark.parametrize("wanted", [Limits(cpu=1), Limits(cpus="0")], ids=["cpu", "cpus"])
def test_a_run_that_ends_meanwhile_is_passed_over(group: Group, before_writing: When, wanted: Limits) -> None:
    tree.limit(group, Limits(cpu=2))
    leaf_of(group, "run.0", Limits(cpu=2))
    before_writing(lambda: tree.remove(tree.directories(group, "run.0")))
    assert None not in had(tree.limit(group, wanted))


def test_a_run_that_ends_between_the_list_and_the_look_is_passed_over(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits._Place, "below", lambda place: ["gone.0"])
    assert None not in had(tree.limit(group, Limits(cpu=1, cpus="0")))


def test_what_fails_for_another_reason_is_not_tried_again(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    writes = limits._write_all

    def write_all(change: Change, directory: str) -> tuple[str, list[tuple[str, str]]]:
        tried.append(directory)
        return writes(change, directory)

    monkeypatch.setattr(limits, "_write_all", write_all)
    assert had(tree.limit(group, Limits(cpus="4000"))) == [None]
    assert len(tried) == 1
