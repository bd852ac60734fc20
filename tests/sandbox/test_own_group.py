"""Where the caller's own groups are, from what the kernel says in /proc/self/cgroup and /proc/self/mountinfo."""

from __future__ import annotations

from sandbox.cgroups.tree import _own, version  # pyright: ignore[reportPrivateUsage]

ROOT = "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"


def v1(number: int, controllers: str, root: str = "/", at: str | None = None) -> str:
    at = at or f"/sys/fs/cgroup/{controllers}"
    return f"{number} 30 0:{number} {root} {at} rw,nosuid shared:{number} - cgroup cgroup rw,{controllers}\n"


def v2(at: str = "/sys/fs/cgroup", root: str = "/") -> str:
    return (
        f"29 21 0:26 {root} {at} rw,nosuid,nodev,noexec shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
    )


def test_version_1_has_a_directory_per_controller() -> None:
    cgroup = "3:pids:/user\n2:memory:/a/b\n1:cpu:/\n"
    mounts = ROOT + v1(31, "cpu") + v1(32, "memory") + v1(33, "pids")
    group = _own(cgroup, mounts)
    assert group == {
        "cpu": "/sys/fs/cgroup/cpu",
        "memory": "/sys/fs/cgroup/memory/a/b",
        "pids": "/sys/fs/cgroup/pids/user",
    }
    assert version(group) == 1


def test_controllers_mounted_together_share_a_directory() -> None:
    group = _own("4:cpu,cpuacct:/a\n", ROOT + v1(31, "cpu,cpuacct"))
    assert group == {"cpu": "/sys/fs/cgroup/cpu,cpuacct/a", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/a"}


def test_controllers_that_nothing_can_be_asked_of_are_left_alone() -> None:
    cgroup = "3:net_cls:/\n2:perf_event:/\n1:name=systemd:/init.scope\n"
    mounts = v1(31, "net_cls") + v1(32, "perf_event") + v1(33, "xattr,name=systemd", at="/sys/fs/cgroup/systemd")
    assert _own(cgroup, mounts) == {}


def test_hybrid_has_a_version_2_tree_that_only_watches() -> None:
    cgroup = "2:memory:/m\n0::/u\n"
    group = _own(cgroup, ROOT + v1(31, "memory") + v2("/sys/fs/cgroup/unified"))
    assert group == {"memory": "/sys/fs/cgroup/memory/m", "unified": "/sys/fs/cgroup/unified/u"}
    assert version(group) == 1


def test_version_2_is_one_directory() -> None:
    group = _own("0::/system.slice/a.service\n", ROOT + v2())
    assert group == {"unified": "/sys/fs/cgroup/system.slice/a.service"}
    assert version(group) == 2


def test_the_root_group_has_no_slash_at_its_end() -> None:
    assert _own("0::/\n", v2()) == {"unified": "/sys/fs/cgroup"}


def test_in_a_cgroup_namespace_the_mount_begins_at_our_root() -> None:
    """/proc/self/cgroup and the root of a mount made inside are both seen from the namespace."""
    assert _own("0::/\n", v2()) == {"unified": "/sys/fs/cgroup"}
    assert _own("0::/task\n", v2()) == {"unified": "/sys/fs/cgroup/task"}


def test_a_mount_of_a_part_of_the_tree_is_left_by_its_root() -> None:
    """As in a container without a cgroup namespace: the host's path, and a bind mount of it."""
    group = _own("0::/docker/1234/a\n", v2(root="/docker/1234"))
    assert group == {"unified": "/sys/fs/cgroup/a"}
    group = _own("2:memory:/docker/1234\n", v1(31, "memory", root="/docker/1234"))
    assert group == {"memory": "/sys/fs/cgroup/memory"}


def test_a_mount_that_does_not_show_us_is_not_ours() -> None:
    assert _own("0::/docker/12345\n", v2(root="/docker/1234")) == {}
    assert _own("0::/\n", v2(root="/..")) == {}


def test_the_first_of_two_mounts_of_one_tree_is_used() -> None:
    group = _own("0::/a\n", v2() + v2("/mnt/again"))
    assert group == {"unified": "/sys/fs/cgroup/a"}


def test_a_tree_that_is_not_mounted_is_none() -> None:
    assert _own("2:memory:/a\n0::/b\n", ROOT) == {}
    assert _own("", ROOT) == {}


def test_mounts_with_and_without_optional_fields_are_read() -> None:
    bare = "29 21 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
    many = "29 21 0:26 / /sys/fs/cgroup rw shared:4 master:1 propagate_from:2 - cgroup2 cgroup2 rw\n"
    assert _own("0::/a\n", bare) == _own("0::/a\n", many) == {"unified": "/sys/fs/cgroup/a"}
