"""A sandbox as values: its steps can be looked at without being root, and without making one."""

from __future__ import annotations

import json
import marshal
import subprocess
import sys

import pytest

from sandbox.namespaces import NAMESPACES
from sandbox.ops import Op
from sandbox.plan import from_words, parts, plan, to_words, without
from sandbox.spec import Root, Spec, Users, Volume

ALL = ("pid", "mount", "ipc", "uts")

NEWNS, NEWUTS, NEWIPC, NEWPID = 0x00020000, 0x04000000, 0x08000000, 0x20000000
NEWUSER, NEWNET, NEWCGROUP, NEWTIME = 0x10000000, 0x40000000, 0x02000000, 0x00000080
PRIVATE, SLAVE = 1 << 18, 1 << 19
RO, NOSUID_NODEV = 1, 2 | 4


def steps_of(steps: list[Op], name: str) -> list[tuple[object, ...]]:
    return [arguments for _, _, step, arguments in steps if step == name]


def places(steps: list[Op]) -> list[object]:
    """Where something is mounted, in that order."""
    at = {"put": 1, "filesystem": 1, "cover": 0, "mask": 0, "freeze": 0}
    return [
        "/dev" if step == "devices" else arguments[at[step]]
        for _, _, step, arguments in steps
        if step in at or step == "devices"
    ]


def test_every_namespace_is_in_the_table_under_its_own_name() -> None:
    assert {name: row.flag for name, row in NAMESPACES.items()} == {
        "user": NEWUSER,
        "pid": NEWPID,
        "time": NEWTIME,
        "mount": NEWNS,
        "ipc": NEWIPC,
        "uts": NEWUTS,
        "cgroup": NEWCGROUP,
        "net": NEWNET,
    }
    assert [name for name, row in NAMESPACES.items() if row.name != name] == []


def test_a_full_sandbox_leaves_every_namespace_before_it_changes_one() -> None:
    steps = plan(Spec(ALL, keep=("/srv/here", "/tmp/here"), hostname="inside"))
    assert steps.clone == NEWPID
    assert steps.enter == NEWNS | NEWIPC | NEWUTS
    assert steps.first == [
        ("mount", "mount", "unshare", (NEWNS,)),
        ("ipc", "ipc", "unshare", (NEWIPC,)),
        ("uts", "uts", "unshare", (NEWUTS,)),
        ("mount", "mount", "propagation", (SLAVE,)),
        ("mount", "keep /tmp/here", "take", ("keep /tmp/here", "/tmp/here", True)),
        ("mount", "/dev/shm", "filesystem", ("tmpfs", "/dev/shm", NOSUID_NODEV, "mode=1777")),
        ("mount", "/proc", "filesystem", ("proc", "/proc", 2 | 4 | 8, "")),
        ("mount", "/tmp", "filesystem", ("tmpfs", "/tmp", NOSUID_NODEV, "mode=1777")),
        ("mount", "/var/tmp", "filesystem", ("tmpfs", "/var/tmp", NOSUID_NODEV, "mode=1777")),
        ("mount", "keep /tmp/here", "put", ("keep /tmp/here", "/tmp/here", 0)),
        ("uts", "hostname", "sethostname", ("inside",)),
    ]
    mounted = ["/dev/shm", "/proc", "/tmp", "/var/tmp"]
    assert parts(steps) == ["pid", "mount", "ipc", "uts", "keep /tmp/here", *mounted, "hostname"]


def test_what_is_its_own_is_there_before_what_is_the_hosts_but_for_what_it_lies_in() -> None:
    volumes = [Volume("/a", "/data"), Volume("/b", "/var"), Volume("/c", "/dev"), Volume("/d", "/var/lib/x")]
    order = places(plan(Spec(ALL, sandbox="/a/sandbox", dev=True, volumes=volumes, read_only=True)).first)
    assert order.index("/tmp") < order.index("/a/sandbox") < order.index("/data")
    assert order.index("/var") < order.index("/var/tmp") < order.index("/data") < order.index("/var/lib/x")
    assert order.index("/dev") < order.index("/dev/pts") < order.index("/a/sandbox")


def test_no_namespaces_are_no_steps() -> None:
    steps = plan(Spec(()))
    assert (steps.clone, steps.first, steps.enter) == (0, [], 0)
    assert parts(steps) == []


def test_the_order_asked_in_does_not_matter() -> None:
    assert plan(Spec(ALL)).first == plan(Spec(tuple(reversed(ALL)))).first


def test_without_a_pid_namespace_proc_is_the_hosts() -> None:
    assert "/proc" not in places(plan(Spec(("mount",))).first)


def test_a_host_name_needs_a_uts_namespace() -> None:
    assert plan(Spec(("mount",), hostname="inside")).enter == NEWNS
    assert "hostname" not in parts(plan(Spec(("mount",), hostname="inside")))


def test_what_is_below_is_mounted_after_what_it_is_below() -> None:
    volumes = [Volume("/a", "/tmp/sandbox/data/deep"), Volume("/b", "/tmp/sandbox/data"), Volume("/c", "/dev/shm/x")]
    spec = Spec(ALL, sandbox="/tmp/sandbox", dev=True, masks=True, volumes=volumes, hide=["/srv"])
    order = places(plan(spec).first)
    for above, below in (
        ("/tmp", "/tmp/sandbox"),
        ("/tmp/sandbox", "/tmp/sandbox/data"),
        ("/tmp/sandbox/data", "/tmp/sandbox/data/deep"),
        ("/dev", "/dev/shm"),
        ("/dev/shm", "/dev/shm/x"),
        ("/dev", "/dev/pts"),
        ("/proc", "/proc/sys"),
        ("/proc", "/proc/kcore"),
        ("/sys", "/sys/firmware"),
    ):
        assert order.index(above) < order.index(below), (above, below)


def test_a_volume_at_the_place_of_something_private_is_what_is_seen() -> None:
    order = plan(Spec(ALL, volumes=[Volume("/a", "/tmp")])).first
    at_tmp = [step for _, _, step, arguments in order if "/tmp" in arguments]
    assert at_tmp == ["filesystem", "put"]


def test_everything_of_the_hosts_is_taken_before_anything_is_hidden() -> None:
    spec = Spec(
        ALL, sandbox="/tmp/s", keep=["/tmp/k"], volumes=[Volume("/tmp/v", "/mnt")], devices=["/dev/fuse"], dev=True
    )
    names = [step for _, _, step, _ in plan(spec).first]
    taken = [at for at, name in enumerate(names) if name == "take"]
    assert len(taken) == 4
    assert max(taken) < names.index("filesystem")
    assert max(taken) < names.index("devices")


def test_of_a_read_only_root_all_is_read_only_but_what_was_taken_before() -> None:
    steps = plan(Spec(ALL, sandbox="/srv/s", read_only=True)).first
    names = [step for _, _, step, _ in steps]
    assert names.index("take") < names.index("read_only") < names.index("filesystem")
    assert steps_of(steps, "read_only") == [(True, RO)]
    assert ("sandbox", "/srv/s", NOSUID_NODEV) in steps_of(steps, "put")
    assert steps_of(steps, "propagation") == [(PRIVATE,)]


def test_a_root_of_its_own_is_closed_last_and_alone() -> None:
    steps = plan(Spec(ALL, sandbox="/srv/s", read_only=True, root=Root(["/a", "/b"]))).first
    mount = [(step, arguments) for namespace, _, step, arguments in steps if namespace == "mount"]
    assert mount[-2:] == [("read_only", (False, RO)), ("pivot", ())]
    assert steps_of(steps, "overlay") == [(("/a", "/b"), None, None, None, False)]


def test_a_volume_that_is_only_read_is_read_only_with_all_below() -> None:
    steps = plan(Spec(ALL, volumes=[Volume("/a", "/b"), Volume("/c", "/d", read_only=False, recursive=False)])).first
    assert steps_of(steps, "put") == [("volume /b", "/b", NOSUID_NODEV | RO), ("volume /d", "/d", NOSUID_NODEV)]
    assert steps_of(steps, "take") == [("volume /b", "/a", True), ("volume /d", "/c", False)]


def test_what_is_hidden_in_something_hidden_is_hidden_once() -> None:
    steps = plan(Spec(ALL, hide=["/srv/a/b", "/srv/a", "/tmp/c"])).first
    assert steps_of(steps, "cover") == steps_of(steps, "seal") == [("/srv/a",)]


def test_with_a_user_namespace_nobody_outside_makes_the_pid_namespace() -> None:
    steps = plan(Spec([*ALL, "user"], users=Users.one(1000, 100)))
    assert (steps.clone, steps.enter) == (0, NEWUSER | NEWPID | NEWNS | NEWIPC | NEWUTS)
    assert steps.users == (((1000, 1000, 1),), ((100, 100, 1),))
    assert parts(steps)[:2] == ["user", "pid"]
    assert steps_of(steps.first, "become_root") == []


def test_of_several_ids_the_first_process_works_as_root_and_files_are_mapped_from_outside() -> None:
    volumes = [Volume("/a", "/b", id_mapped=True), Volume("/c", "/d")]
    spec = Spec([*ALL, "user"], users=Users.range(100000), sandbox="/s", sandbox_id_mapped=True, volumes=volumes)
    steps = plan(spec)
    assert steps.first[0] == ("user", "user", "become_root", ())
    assert steps.outside == [
        ("mount", "ids of sandbox", "take_mapped", ("sandbox", "/s", True)),
        ("mount", "ids of volume /b", "take_mapped", ("volume /b", "/a", True)),
        ("mount", "sandbox", "take", ("sandbox", "/s", True)),
        ("mount", "volume /b", "take", ("volume /b", "/a", True)),
        ("mount", "volume /d", "take", ("volume /d", "/c", True)),
    ]
    left = without(without(without(steps, "ids of sandbox"), "ids of volume /b"), "volume /d")
    assert [op[1] for op in left.outside] == ["sandbox", "volume /b"]
    assert steps_of(left.first, "take") == [("sandbox", "/s", True), ("volume /b", "/a", True)]


# -- leaving out


def test_a_namespace_left_out_takes_all_with_it_that_belongs_to_it() -> None:
    steps = without(plan(Spec(ALL)), "mount")
    assert (steps.clone, steps.enter) == (NEWPID, NEWIPC | NEWUTS)
    assert parts(steps) == ["pid", "ipc", "uts"]


def test_a_pid_namespace_left_out_leaves_the_hosts_proc() -> None:
    """A fresh /proc would show the host's processes and be called private."""
    steps = without(plan(Spec(ALL)), "pid")
    assert steps.clone == 0
    assert parts(steps) == ["mount", "ipc", "uts", "/dev/shm", "/tmp", "/var/tmp"]


def test_a_part_left_out_leaves_its_namespace() -> None:
    steps = without(plan(Spec(ALL)), "/dev/shm")
    assert steps.enter == NEWNS | NEWIPC | NEWUTS
    assert parts(steps) == ["pid", "mount", "ipc", "uts", "/proc", "/tmp", "/var/tmp"]


def test_a_user_namespace_left_out_leaves_the_others_to_who_forks() -> None:
    steps = without(plan(Spec([*ALL, "user"], users=Users.range(100000), sandbox="/s", sandbox_id_mapped=True)), "user")
    assert (steps.clone, steps.enter, steps.users) == (NEWPID, NEWNS | NEWIPC | NEWUTS, None)
    assert steps.outside == []
    assert "become_root" not in [step for _, _, step, _ in steps.first]


def test_a_root_left_out_leaves_no_view_at_all() -> None:
    """What was to be in it would be put into the host's."""
    steps = plan(Spec(ALL, root=Root(["/a"])))
    assert steps.required == {"mount", "root"}
    assert parts(without(steps, "root")) == ["pid", "ipc", "uts"]
    assert without(steps, "root").enter == NEWIPC | NEWUTS


def test_a_plan_that_is_left_out_of_is_not_changed() -> None:
    steps = plan(Spec(ALL))
    before = parts(steps)
    without(steps, "mount")
    without(steps, "/tmp")
    assert parts(steps) == before


# -- as values


def test_a_plan_is_plain_values_for_marshal_and_json() -> None:
    spec = Spec(
        [*ALL, "user", "net", "time", "cgroup"],
        users=Users.range(100000),
        sandbox="/s",
        sandbox_id_mapped=True,
        clocks=(1, 2.5),
        root=Root(["/a"], "/u/up", "/u/work"),
        volumes=[Volume("/a", "/b", id_mapped=True)],
        dev=True,
        masks=True,
    )
    steps = plan(spec, required=["net"])
    words = to_words(steps)
    again = from_words(marshal.loads(marshal.dumps(words)))
    assert to_words(again) == words
    assert again.required == {"net", "mount", "root"}
    assert parts(from_words(json.loads(json.dumps(words)))) == parts(steps)


def test_who_only_carries_a_plan_out_does_not_import_what_makes_one() -> None:
    program = "import sys, sandbox.plan, sandbox.spawn; print([n for n in sys.modules if n.startswith('sandbox')])"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    for module in ("sandbox.namespaces", "sandbox.view", "sandbox.furnish", "sandbox.userns", "sandbox.privileges"):
        assert module not in out


@pytest.mark.parametrize(
    "asked",
    [
        {"namespaces": ["user"]},
        {"namespaces": [], "users": Users.one(1, 1)},
        {"namespaces": ["user"], "users": Users([(1, 1000, 2)], [(0, 1000, 2)])},
        {"namespaces": ["mount"], "root": Root([])},
        {"namespaces": ["mount"], "root": Root(["/a", "/b"], plain=True)},
        {"namespaces": ["mount"], "root": Root(["/a"], upper="/u")},
        {"namespaces": ["mount"], "sandbox": "relative"},
        {"namespaces": ["mount"], "sandbox": "/"},
        {"namespaces": ["mount"], "hide": ["/a/../b"]},
        {"namespaces": ["mount"], "volumes": [Volume("/a", "//")]},
        {"namespaces": ["mount"], "volumes": [Volume("/a", "/b/../..")]},
    ],
)
def test_what_contradicts_itself_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^cannot "):
        Spec(**asked)  # type: ignore[arg-type]
