"""Sandboxes on an older kernel (Linux 6.1) with cgroup v2 alone: one virtual machine, booted once for all of these.

What is done in it is in in_vm_view.py.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from in_the_vm import Facts, all_told

pytestmark = pytest.mark.root

STORIES = Path(__file__).with_name("in_vm_view.py")

INSIDE = ["14", "sandbox-pause", "written"]


@pytest.fixture(scope="module")
def told() -> dict[str, Facts]:
    stories = all_told(STORIES)
    assert [name for name, story in stories.items() if "error" in story or story["left"]] == []
    return stories


def test_its_group_is_the_root_of_the_one_tree(told: dict[str, Any]) -> None:
    assert told["host"]["out"] == ["/", "0", *INSIDE]


def test_a_namespace_that_the_kernel_does_not_have_is_named_and_can_be_left_out(told: dict[str, Any]) -> None:
    assert (told["time"]["step"], told["time"]["errno"]) == ("make time", errno.EINVAL)
    assert told["time left out"]["out"][1:] == ["0", *INSIDE]


def test_a_root_of_its_own_is_read_only(told: dict[str, Any]) -> None:
    assert "bin" in told["root"]["out"]
    assert "usr" not in told["root"]["out"]
    assert told["root"]["err"].endswith("cannot create /new: Read-only file system\n")


def test_many_ids_are_had_though_files_cannot_be_mapped(told: dict[str, Any]) -> None:
    assert told["users"]["out"] == ["/", "7", *INSIDE]
    assert (told["ids"]["step"], told["ids"]["errno"]) == ("make ids of sandbox", errno.EINVAL)
    assert told["ids"]["text"].startswith("its file system cannot map ids: Invalid argument (/tmp/stories/ids/sandbox")


def test_a_plain_user_has_the_same(told: dict[str, Any]) -> None:
    assert told["rootless"]["out"] == ["/", "12345", *INSIDE]
