"""A sandbox as values: its steps can be looked at without being root, and without making one."""

from __future__ import annotations

from sandbox.namespaces import NAMESPACES
from sandbox.ops import Op
from sandbox.plan import parts, plan, without
from sandbox.spec import Spec

ALL = ("pid", "mount", "ipc", "uts")

NEWNS, NEWUTS, NEWIPC, NEWPID = 0x00020000, 0x04000000, 0x08000000, 0x20000000
SLAVE_REC = 1 << 19 | 16384


def targets(steps: list[Op]) -> list[object]:
    return [arguments[1] for _, _, step, arguments in steps if step == "mount"]


def test_every_namespace_is_in_the_table_under_its_own_name() -> None:
    assert tuple(NAMESPACES) == ALL
    assert {name: row.flag for name, row in NAMESPACES.items()} == {
        "pid": NEWPID,
        "mount": NEWNS,
        "ipc": NEWIPC,
        "uts": NEWUTS,
    }


def test_a_full_sandbox_leaves_every_namespace_before_it_changes_one() -> None:
    steps = plan(Spec(ALL, keep=("/srv/here",), hostname="inside"))
    assert steps.clone == NEWPID
    assert steps.enter == NEWNS | NEWIPC | NEWUTS
    assert steps.first == [
        ("mount", "mount", "unshare", (NEWNS,)),
        ("ipc", "ipc", "unshare", (NEWIPC,)),
        ("uts", "uts", "unshare", (NEWUTS,)),
        ("mount", "mount", "mount", (None, "/", None, SLAVE_REC, None)),
        ("mount", "/tmp", "cover", ("/tmp", "mode=1777", ("/srv/here",))),
        ("mount", "/dev/shm", "cover", ("/dev/shm", "mode=1777", ("/srv/here",))),
        ("mount", "/proc", "mount", ("proc", "/proc", "proc", 2 | 4 | 8, None)),
        ("uts", "hostname", "sethostname", ("inside",)),
    ]
    assert parts(steps) == ["pid", "mount", "ipc", "uts", "/tmp", "/dev/shm", "/proc", "hostname"]


def test_no_namespaces_are_no_steps() -> None:
    steps = plan(Spec(()))
    assert (steps.clone, steps.first, steps.enter) == (0, [], 0)
    assert parts(steps) == []


def test_the_order_asked_in_does_not_matter() -> None:
    assert plan(Spec(ALL)).first == plan(Spec(tuple(reversed(ALL)))).first


def test_without_a_pid_namespace_proc_is_the_hosts() -> None:
    assert "/proc" not in targets(plan(Spec(("mount",))).first)


def test_a_host_name_needs_a_uts_namespace() -> None:
    assert plan(Spec(("mount",), hostname="inside")).enter == NEWNS
    assert "hostname" not in parts(plan(Spec(("mount",), hostname="inside")))


def test_a_namespace_left_out_takes_all_with_it_that_belongs_to_it() -> None:
    steps = without(plan(Spec(ALL)), "mount")
    assert (steps.clone, steps.enter) == (NEWPID, NEWIPC | NEWUTS)
    assert parts(steps) == ["pid", "ipc", "uts"]


def test_a_pid_namespace_left_out_leaves_the_hosts_proc() -> None:
    """A fresh /proc would show the host's processes and be called private."""
    steps = without(plan(Spec(ALL)), "pid")
    assert steps.clone == 0
    assert parts(steps) == ["mount", "ipc", "uts", "/tmp", "/dev/shm"]


def test_a_part_left_out_leaves_its_namespace() -> None:
    steps = without(plan(Spec(ALL)), "/dev/shm")
    assert steps.enter == NEWNS | NEWIPC | NEWUTS
    assert parts(steps) == ["pid", "mount", "ipc", "uts", "/tmp", "/proc"]


def test_a_plan_that_is_left_out_of_is_not_changed() -> None:
    steps = plan(Spec(ALL))
    without(steps, "mount")
    without(steps, "/tmp")
    assert parts(steps) == ["pid", "mount", "ipc", "uts", "/tmp", "/dev/shm", "/proc"]
