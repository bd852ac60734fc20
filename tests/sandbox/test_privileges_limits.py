"""Limits and priorities of a process: given as asked, or refused by name."""

from __future__ import annotations

import errno
import marshal
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from privileged import NOBODY, ROOT, Failed, confined, python

from sandbox import syscalls
from sandbox.privileges import doing, probing, table
from sandbox.privileges.asked import Landlock, Privileges
from sandbox.seccomp.numbers import NUMBERS

KERNEL = table.Kernel("x86_64", "6.1", 7)
USER = ["setpriv", "--reuid", str(NOBODY), "--clear-groups"] if os.geteuid() == 0 else []


def failure(**asked: object) -> tuple[object, ...]:
    with pytest.raises(Failed) as failed:
        confined(["true"], **asked)  # type: ignore[arg-type]
    return failed.value.args


# -- limits


def test_each_limit_is_the_kernels_of_that_name() -> None:
    names = [name[7:].lower() for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"]
    for name in names:
        steps = table.steps(Privileges(rlimits={name: "0"}, seccomp="unconfined"), KERNEL, root_user=True)
        assert steps[-1] == ("rlimit", getattr(resource, f"RLIMIT_{name.upper()}"), 0, 0, name)
    assert len(names) >= 15


def test_limits_are_soft_and_hard() -> None:
    rlimits = {
        "nofile": "64:100",
        "core": "0",
        "fsize": "4096:unlimited",
        "stack": "1000000:2000000",
        "as": "unlimited",
    }
    code = """
import resource
names = ("NOFILE", "CORE", "FSIZE", "STACK", "AS")
answer = [resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in names]
"""
    assert python(code, rlimits=rlimits) == [[64, 100], [0, 0], [4096, -1], [1000000, 2000000], [-1, -1]]


def test_a_limit_above_the_hard_one_is_refused_by_name() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    step, number, text = failure(rlimits={"nofile": str(hard + 1)}, through=USER)
    assert (step, number) == ("set rlimit nofile", errno.EPERM)
    assert str(text).startswith(
        "above the hard limit, which only the privileged (CAP_SYS_RESOURCE) raise (rlimit nofile"
    )
    assert str(text).endswith(f":{hard + 1})")


def test_a_limit_of_files_sizes_ends_the_program_and_not_who_reports_that_there_is_none(directory: Path) -> None:
    steps = table.steps(Privileges(rlimits={"fsize": "0"}, seccomp="unconfined"), KERNEL, root_user=False)
    pid = os.fork()
    if pid == 0:
        file = os.open(directory / "report", os.O_WRONLY | os.O_CREAT)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        doing.late([each for each in steps if each[0] == "rlimit"])
        try:
            os.write(file, b"cannot execute")
        except OSError as error:
            os._exit(error.errno)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EFBIG
    # `env` because Python ignores the signal, and a program inherits that.
    argv = ["env", "--default-signal=XFSZ", "sh", "-c", f"echo x > {directory}/file"]
    assert confined(argv, rlimits={"fsize": "0"}).returncode == -signal.SIGXFSZ


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("files", "1", "there is no such limit; there are cpu, fsize"),
        ("nofile", "", "'' is neither a whole number nor unlimited"),
        ("nofile", "1:2:3", "is not SOFT:HARD"),
        ("nofile", "-1", "'-1' is neither"),
        ("nofile", "2:1", "the soft limit of '2:1' is above the hard one"),
        ("nofile", "unlimited:1", "above the hard one"),
        ("nofile", str(2**63), "is neither a whole number"),
        ("nofile", "٣", "is neither a whole number"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(name: str, text: str, why: str) -> None:
    with pytest.raises(table.Refused) as refused:
        table.steps(Privileges(rlimits={name: text}), KERNEL, root_user=True)
    assert refused.value.field == f"rlimits[{name}]"
    assert why in refused.value.why


# -- priorities


def seen(**asked: object) -> dict[str, object]:
    code = (
        f"raw = libc.syscall({NUMBERS[os.uname().machine]['ioprio_get']}, 1, 0)"
        + """
answer = {"nice": os.getpriority(os.PRIO_PROCESS, 0), "policy": os.sched_getscheduler(0), "io": raw,
          "priority": os.sched_getparam(0).sched_priority, "cpus": sorted(os.sched_getaffinity(0)),
          "oom": int(open("/proc/self/oom_score_adj").read())}
"""
    )
    found: dict[str, object] = python(code, **asked)
    return found


def test_a_process_gets_what_everybody_may_ask_for() -> None:
    cpu = max(os.sched_getaffinity(0))
    given = seen(nice=7, scheduling="batch", cpus=str(cpu), oom_score_adj=500, ionice="idle", through=USER)
    assert (given["nice"], given["policy"], given["cpus"], given["oom"]) == (7, os.SCHED_BATCH, [cpu], 500)
    assert given["io"] == 3 << 13


@pytest.mark.root
def test_root_gives_more_to_a_user_than_it_may_ask_for() -> None:
    given = seen(nice=-5, ionice="realtime:2", uid=NOBODY)
    assert (given["nice"], given["io"]) == (-5, 1 << 13 | 2)


@pytest.mark.root
@pytest.mark.parametrize(
    ("asked", "policy", "priority"),
    [
        ("other", os.SCHED_OTHER, 0),
        ("idle", os.SCHED_IDLE, 0),
        ("fifo:3", os.SCHED_FIFO, 3),
        ("rr:99", os.SCHED_RR, 99),
    ],
)
def test_each_rule_of_scheduling_is_the_kernels(asked: str, policy: int, priority: int) -> None:
    given = seen(scheduling=asked, uid=NOBODY)
    assert (given["policy"], given["priority"]) == (policy, priority)


@pytest.mark.parametrize(
    ("asked", "step", "text"),
    [
        ({"nice": -1}, "set nice", "below what it is, which takes CAP_SYS_NICE or RLIMIT_NICE (nice -1)"),
        ({"scheduling": "fifo:1"}, "set scheduling", "it takes CAP_SYS_NICE or RLIMIT_RTPRIO"),
        ({"ionice": "realtime:0"}, "set ionice", "Operation not permitted (ionice realtime:0)"),
        ({"oom_score_adj": -1000}, "set oom_score_adj", "lower than it is, which takes CAP_SYS_RESOURCE"),
        ({"cpus": "8191"}, "set cpus", "none of them may be used here (cpus 8191)"),
        ({"cpus": "0,8191"}, "set cpus", "they are not there, or not in its cgroup's cpuset (cpus 8191)"),
    ],
)
def test_what_a_user_may_not_have_is_refused_by_name(asked: dict[str, object], step: str, text: str) -> None:
    failed = failure(through=USER, **asked)
    assert failed[0] == step
    assert failed[1] in (errno.EPERM, errno.EACCES, errno.EINVAL)
    assert text in str(failed[2])


def test_the_root_of_a_user_namespace_has_nothing_of_the_hosts_to_give() -> None:
    through = [*USER, "unshare", "--user", "--map-root-user"]
    assert failure(through=through, nice=-1)[0] == "set nice"
    assert failure(through=through, scheduling="fifo:1")[0] == "set scheduling"
    assert seen(through=through, nice=3)["nice"] == 3


@pytest.mark.parametrize(
    ("asked", "field", "why"),
    [
        ({"nice": 20}, "nice", "20 is not within -20 to 19"),
        ({"nice": -21}, "nice", "-21 is not within"),
        ({"oom_score_adj": 1001}, "oom_score_adj", "1001 is not within -1000 to 1000"),
        ({"ionice": "fast"}, "ionice", "'fast' is not idle, best-effort:0-7 or realtime:0-7"),
        ({"ionice": "idle:1"}, "ionice", "idle has no levels"),
        ({"ionice": "realtime:8"}, "ionice", "'8' is not a level from 0 to 7"),
        ({"ionice": "best-effort:"}, "ionice", "'' is not a level"),
        ({"cpus": ""}, "cpus", "'' is not a processor's number"),
        ({"cpus": "3-1"}, "cpus", "'3-1' ends before it begins"),
        ({"cpus": "0-99999999999"}, "cpus", "is not a processor's number"),
        ({"scheduling": "deadline"}, "scheduling", "'deadline' is not other, batch"),
        ({"scheduling": "fifo"}, "scheduling", "fifo needs a priority from 1 to 99, as fifo:10"),
        ({"scheduling": "rr:0"}, "scheduling", "rr needs a priority"),
        ({"scheduling": "batch:1"}, "scheduling", "batch has no priorities"),
        ({"seccomp": "strict"}, "seccomp", "'strict' is not default, unconfined, or a profile"),
        ({"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}, "trace": True}, "trace", "it belongs to the default profile"),
        ({"landlock": Landlock(read=["etc"])}, "landlock.read", "'etc' does not begin with /"),
        ({"landlock": Landlock(bind=[65536])}, "landlock.bind", "65536 is not a port"),
        ({"landlock": Landlock(scoped=["files"])}, "landlock.scoped", "'files' is not one of abstract-unix-socket"),
    ],
)
def test_what_makes_no_sense_is_refused(asked: dict[str, object], field: str, why: str) -> None:
    found = table.problems(Privileges(**asked), KERNEL)  # type: ignore[arg-type]
    assert [(each.field, why in each.why) for each in found] == [(field, True)]


def test_a_list_of_processors_is_read_as_the_kernel_writes_it() -> None:
    steps = table.steps(Privileges(cpus="0-2, 7,5-5", seccomp="unconfined"), KERNEL, root_user=True)
    assert ("cpus", (0, 1, 2, 5, 7)) in steps


# -- the table


def test_what_was_asked_is_told_by_the_names_that_steps_fail_with() -> None:
    asked = Privileges(
        capabilities_dropped=["ALL"],
        trace=True,
        landlock=Landlock(read=["/"], connect=[], scoped=["signal"]),
        rlimits={"core": "0"},
        nice=5,
        cpus="0",
    )
    assert table.describe(asked) == [
        ("nice", "5"),
        ("cpus", "0"),
        ("landlock read", "/"),
        ("landlock connect", "nothing"),
        ("landlock scoped signal", "yes"),
        ("capabilities", "none"),
        ("rlimit core", "0"),
        ("seccomp", "default, and tracing"),
    ]


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = Privileges(nice=99, cpus="x", rlimits={"x": "1"}, capabilities_added=["x"])
    assert [each.field for each in table.problems(wrong, KERNEL)] == [
        "nice",
        "cpus",
        "capabilities_added",
        "rlimits[x]",
    ]


def test_steps_are_values_that_can_be_written_down() -> None:
    asked = Privileges(nice=5, rlimits={"core": "0"}, cpus="0", ionice="idle", landlock=Landlock(["/"], bind=[80]))
    steps = table.steps(asked, KERNEL, root_user=False)
    assert marshal.loads(marshal.dumps(steps)) == steps


def test_what_is_asked_on_another_machine_is_refused_or_lacking() -> None:
    elsewhere = table.Kernel("riscv64", "6.1")
    assert [each.field for each in table.problems(Privileges(ionice="idle"), elsewhere)] == ["ionice", "seccomp"]
    assert table.lacking(Privileges(), elsewhere) == [
        ("seccomp", "there is no table of system calls for riscv64, only for x86_64, aarch64")
    ]


def test_a_program_made_ready_beforehand_is_the_one_that_is_installed() -> None:
    denied = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getpgid"], "action": "SCMP_ACT_ERRNO"}]}
    here = table.Kernel(os.uname().machine, "6.1")
    steps = table.steps(Privileges(seccomp=denied), here, root_user=False)
    doing.prepare(steps)
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.set_no_new_privs()
            doing.late([each for each in steps if each[0] == "seccomp"])
            os.getpgid(0)
        except PermissionError:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_resident_process_loads_little_for_it() -> None:
    code = (
        "import sys, sandbox.spawn; before = set(sys.modules)\n"
        "import sandbox.privileges.doing; print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    own = {name for name in done.stdout.split() if name.startswith("sandbox")}
    assert own == {
        "sandbox.privileges",
        "sandbox.privileges.doing",
        "sandbox.seccomp",
        "sandbox.seccomp.install",
    }


# -- what a machine can give


def test_the_doctors_rows_say_how_each_was_seen_or_why_not() -> None:
    rows = probing.probe()
    assert len({what for what, *_ in rows}) == len(rows) >= 12
    for what, works, how, why_not, remedy in rows:
        assert what
        assert (bool(how), bool(why_not), bool(remedy)) == (works, not works, not works)


def test_the_doctors_rows_are_what_happens() -> None:
    works = {what: works for what, works, *_ in probing.probe()}
    assert works["no_new_privs"]
    assert works["seccomp filters"]
    assert works["nice below what it is"] == (os.geteuid() == 0)
    assert works["landlock: files"] == (doing.landlock_version() > 0)
    if doing.landlock_version():
        scopes = doing.landlock_version() >= 6
        assert works["landlock: signals"] is works["landlock: abstract UNIX sockets"] is scopes


@pytest.mark.root
def test_a_user_is_told_what_it_lacks() -> None:
    code = (
        f"ROOT = {str(ROOT)!r}"
        + """
import sys
sys.path.insert(0, ROOT)
from sandbox.privileges import probing
answer = [(what, remedy) for what, works, how, why, remedy in probing.probe() if not works]
"""
    )
    lacking = dict(python(code, plain=True, uid=NOBODY))
    assert "run as root, or in a container that is given CAP_SETPCAP" in lacking["capabilities: bounding set"]
    assert "CAP_SYS_NICE" in lacking["nice below what it is"]
