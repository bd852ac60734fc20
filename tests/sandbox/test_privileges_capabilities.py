"""Capabilities: what is left of root's power, seen in real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from privileged import NOBODY, ROOT, Failed, confined, python

from sandbox.privileges import table
from sandbox.privileges.asked import Privileges
from sandbox.privileges.capabilities import KEPT, NAMES, bits

KERNEL = table.Kernel("x86_64", "6.1")
USER = ["setpriv", "--reuid", str(NOBODY), "--clear-groups"] if os.geteuid() == 0 else []
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def sets(**asked: object) -> list[int]:
    """Inheritable, permitted, effective, bounding and ambient ones."""
    found: list[str] = python(f"answer = status(*{SETS})", **asked)
    return [int(each, 16) for each in found]


@pytest.mark.root
def test_root_is_left_with_the_short_list() -> None:
    assert sets() == [0, bits(KEPT), bits(KEPT), bits(KEPT), 0]
    assert sets(plain=True)[3] & ~bits(KEPT)


@pytest.mark.root
def test_another_user_has_none_and_the_same_bound() -> None:
    assert sets(uid=NOBODY) == [0, 0, 0, bits(KEPT), 0]


@pytest.mark.root
@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"capabilities_dropped": ["ALL"]}, []),
        ({"capabilities_dropped": ["CAP_CHOWN", "kill"]}, [name for name in KEPT if name not in ("CHOWN", "KILL")]),
        ({"capabilities_added": ["cap_net_raw"]}, [*KEPT, "NET_RAW"]),
        ({"capabilities_dropped": ["ALL"], "capabilities_added": ["CHOWN"]}, ["CHOWN"]),
    ],
)
def test_what_is_asked_bounds_root(asked: dict[str, list[str]], kept: list[str]) -> None:
    assert sets(**asked) == [0, bits(kept), bits(kept), bits(kept), 0]


@pytest.mark.parametrize(
    ("asked", "root", "other"),
    [
        ({}, " ".join(KEPT), "none"),
        ({"capabilities_dropped": ["ALL"]}, "none", "none"),
        ({"capabilities_added": ["NET_RAW"]}, " ".join([*KEPT, "NET_RAW"]), "NET_RAW"),
        ({"capabilities_added": ["ALL"]}, " ".join(NAMES), " ".join(NAMES)),
    ],
)
def test_what_is_told_is_what_the_user_has(asked: dict[str, list[str]], root: str, other: str) -> None:
    for root_user, said in ((True, root), (False, other)):
        told = table.describe(Privileges(**asked), root_user=root_user)
        steps = {step[0]: step for step in table.steps(Privileges(**asked), KERNEL, root_user=root_user)}
        assert ("capabilities", said) in told
        assert steps["capabilities"][2] == bits([] if said == "none" else said.split())


def test_nobody_may_look_at_a_process_from_its_first_steps_until_it_executes() -> None:
    """By capabilities alone they could, as soon as it has given its own up: the escape with the interpreter does."""
    code = """
import ctypes, os, sys
sys.path.insert(0, sys.argv[1])
from sandbox.privileges import doing
dumpable = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)"
exec(dumpable)
doing.early(())
exec(dumpable)
doing.late(())
exec(dumpable)
os.execv(sys.executable, [sys.executable, "-I", "-c", dumpable])
"""
    done = subprocess.run([sys.executable, "-c", code, str(ROOT)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0", "0", "1"]


@pytest.mark.root
def test_who_only_has_to_be_there_keeps_no_capability() -> None:
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from sandbox.privileges import doing
doing.forsake()
for line in open("/proc/self/status"):
    if line.startswith("Cap"):
        print(int(line.split()[1], 16))
"""
    done = subprocess.run([sys.executable, "-c", code, str(ROOT)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"] * 5


@pytest.mark.root
def test_all_is_all_that_there_are() -> None:
    there = sets(plain=True)
    left = sets(capabilities_added=["ALL"])
    assert left[1] == there[1] & bits(NAMES)
    assert left[3] == there[3] & bits(NAMES)


@pytest.mark.root
def test_a_user_keeps_what_is_asked_by_name_over_execve() -> None:
    one = bits(["NET_BIND_SERVICE"])
    assert sets(uid=NOBODY, capabilities_added=["NET_BIND_SERVICE"]) == [one, one, one, bits(KEPT), one]


@pytest.mark.root
def test_a_user_can_bind_a_low_port_only_with_the_capability() -> None:
    code = """
open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read()
s = socket.socket()
answer = tried(s.bind, ("127.0.0.1", 987))
"""
    assert python(code, uid=NOBODY) == "EACCES"
    assert python(code, uid=NOBODY, capabilities_added=["NET_BIND_SERVICE"]) == "done"


@pytest.mark.root
def test_root_without_capabilities_is_held_by_permissions() -> None:
    code = """
import tempfile
path = tempfile.mkdtemp()
os.chmod(path, 0o755)
os.mkdir(path + "/a", 0)
answer = [tried(os.listdir, path + "/a"), tried(os.chown, path, 5, 5), tried(os.mknod, path + "/n", 0o20600, 0x103)]
"""
    assert python(code, plain=True) == ["done", "done", "done"]
    assert python(code) == ["done", "done", "EPERM"]
    assert python(code, capabilities_dropped=["ALL"]) == ["EACCES", "EPERM", "EPERM"]


@pytest.mark.root
def test_a_set_user_id_program_gives_nothing_back(directory: Path) -> None:
    grep = directory / "grep"
    shutil.copy("/bin/grep", grep)
    grep.chmod(0o4755)
    argv = [str(grep), "-E", "Uid|CapEff", "/proc/self/status"]
    assert confined(argv, uid=NOBODY, plain=True).stdout.startswith("Uid:\t65534\t0\t0\t0\n")
    none = "Uid:\t65534\t65534\t65534\t65534\nCapEff:\t0000000000000000\n"
    assert confined(argv, uid=NOBODY).stdout == none


def test_the_bound_stays_where_it_cannot_be_cut_and_nothing_is_gained() -> None:
    # As a user of the machine: no capability, and no CAP_SETPCAP to drop others with.
    assert sets(through=USER)[:3] == [0, 0, 0]
    assert sets(through=USER)[4] == 0


@pytest.mark.root
def test_root_that_cannot_cut_the_bound_is_left_with_the_short_list_all_the_same() -> None:
    through = ["setpriv", "--bounding-set", "-setpcap"]
    found = sets(through=through)
    left = bits(name for name in KEPT if name != "SETPCAP")
    assert found[3] & ~left
    assert found[:3] == [0, left, left]


def test_a_capability_that_the_starter_does_not_have_is_named() -> None:
    with pytest.raises(Failed) as failed:
        confined(["true"], through=USER, capabilities_added=["CAP_SYS_TIME", "NET_RAW"])
    step, number, text = failed.value.args
    assert (step, number) == ("set capabilities", 1)
    assert text == "whoever starts the sandbox does not have it (capabilities NET_RAW)"


@pytest.mark.root
def test_inheritable_ones_of_the_starter_do_not_come_along() -> None:
    through = ["setpriv", "--inh-caps", "+sys_time", "--ambient-caps", "+sys_time"]
    there = python(f"answer = status(*{SETS})", through=through, plain=True)
    assert int(there[0], 16) == int(there[4], 16) == bits(["SYS_TIME"])
    assert sets(through=through) == [0, bits(KEPT), bits(KEPT), bits(KEPT), 0]
    assert sets(through=through, uid=NOBODY) == [0, 0, 0, bits(KEPT), 0]


def test_root_of_a_user_namespace_is_left_with_the_short_list_of_it() -> None:
    through = [*USER, "unshare", "--user", "--map-root-user"]
    assert sets(through=through) == [0, bits(KEPT), bits(KEPT), bits(KEPT), 0]
    assert sets(through=through, plain=True)[2] > bits(KEPT)


def test_a_name_that_there_is_not_is_refused() -> None:
    with pytest.raises(table.Refused, match="there is no capability 'CAP_FLY'; there are CHOWN, DAC_OVERRIDE"):
        table.steps(Privileges(capabilities_added=["CAP_FLY"]), KERNEL, root_user=True)


def test_numbers_are_those_of_the_kernel() -> None:
    numbers = {"CHOWN": 0, "NET_BIND_SERVICE": 10, "SYS_ADMIN": 21, "SYS_TIME": 25, "SETFCAP": 31, "BPF": 39}
    assert {name: NAMES.index(name) for name in numbers} == numbers
    assert NAMES.index("CHECKPOINT_RESTORE") == 40 == len(NAMES) - 1
