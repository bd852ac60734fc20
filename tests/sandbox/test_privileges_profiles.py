"""Profiles of container tools: what they say is done by the kernel, and what is wrong with one is said where it is."""

from __future__ import annotations

import ctypes.util
import errno
import json
import os
from typing import Any

import pytest
from filter_interpreter import run
from hypothesis import given, settings
from hypothesis import strategies as st
from privileged import Failed, confined, python

from sandbox.privileges import table
from sandbox.privileges.asked import Privileges
from sandbox.seccomp import oci
from sandbox.seccomp.numbers import NUMBERS
from sandbox.seccomp.profile import ALLOW, ERRNO, KILL_PROCESS, LOG, TRACE, Profile
from sandbox.seccomp.program import AUDIT_ARCH, program

MACHINE = os.uname().machine
N = NUMBERS[MACHINE]
KERNEL = table.Kernel(MACHINE, "6.1.0-13-amd64")

#: What a dynamically linked program, a shell and an interpreter need: an allow list as they are written by hand.
_NEEDED = """
    access arch_prctl brk clock_gettime clone clone3 close close_range dup dup2 dup3 epoll_create1 execve exit
    exit_group fcntl fstat futex getcwd getdents64 getegid geteuid getgid getpid getppid getrandom gettid getuid
    ioctl kill lseek lstat madvise mmap mprotect mremap munmap newfstatat open openat pipe pipe2 poll pread64
    prlimit64 read readlink readlinkat rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity
    set_robust_list set_tid_address sigaltstack stat statx sysinfo uname umask unlink vfork wait4 write writev
    faccessat faccessat2 getpgrp
"""


def allow_list(*more: dict[str, Any], **fields: Any) -> dict[str, Any]:
    rows = [{"names": _NEEDED.split(), "action": "SCMP_ACT_ALLOW"}, *more]
    return {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rows, **fields}


def read(document: object, **host: Any) -> Profile:
    return oci.profile(document, **{"machine": "x86_64", "release": "6.1.0", **host})


# -- in real processes


def test_programs_run_under_an_allow_list() -> None:
    done = confined(
        ["sh", "-c", "echo a | cat; uname > /dev/null; /usr/bin/python3 -Ic 'print(1)'"], seccomp=allow_list()
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\n1\n", "")


def test_what_an_allow_list_does_not_name_gets_its_errno() -> None:
    code = f"answer = [call({N['getpgid']}, 0), call({N['getuid']}), call({max(N.values()) + 1})]"
    assert python(code, seccomp=allow_list()) == [errno.EPERM, 0, errno.ENOSYS]
    assert python(code, seccomp=allow_list(defaultErrnoRet=errno.EACCES)) == [errno.EACCES, 0, errno.ENOSYS]


@pytest.mark.parametrize(
    ("operator", "value", "two", "allowed"),
    [
        ("EQ", 5, 0, {5}),
        ("NE", 5, 0, {0, 4, 6, 2**32 + 5, 2**63}),
        ("LT", 5, 0, {0, 4}),
        ("LE", 5, 0, {0, 4, 5}),
        ("GT", 5, 0, {6, 2**32 + 5, 2**63}),
        ("GE", 2**32 + 5, 0, {2**32 + 5, 2**63}),
        ("LT", 2**32 + 5, 0, {0, 4, 5, 6}),
        ("MASKED_EQ", 4, 4, {4, 5, 6, 2**32 + 5}),
        ("MASKED_EQ", 2**32, 0, {0, 4, 5, 6, 2**63}),
    ],
)
def test_each_operator_looks_at_64_bits(operator: str, value: int, two: int, allowed: set[int]) -> None:
    arguments = [0, 4, 5, 6, 2**32 + 5, 2**63]
    test = {"index": 1, "value": value, "valueTwo": two, "op": f"SCMP_CMP_{operator}"}
    profile = allow_list({"names": ["getpriority"], "action": "SCMP_ACT_ALLOW", "args": [test]})
    code = f"""
answer = []
for each in {arguments}:
    result = libc.syscall(ctypes.c_long({N["getpriority"]}), ctypes.c_long(0), ctypes.c_ulong(each))
    answer.append(ctypes.get_errno() if result < 0 else 0)
"""
    answers = python(code, seccomp=profile)
    assert {argument for argument, answer in zip(arguments, answers, strict=True) if answer != errno.EPERM} == allowed


@pytest.mark.parametrize(
    ("action", "status"),
    [("SCMP_ACT_KILL_PROCESS", -31), ("SCMP_ACT_TRAP", -31), ("SCMP_ACT_KILL_THREAD", -31), ("SCMP_ACT_LOG", 0)],
)
def test_each_action_is_the_kernels(action: str, status: int) -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getpgid"], "action": action}]}
    code = "import os; os.getpgid(0)"
    assert confined(["/usr/bin/python3", "-I", "-c", code], seccomp=profile).returncode == status


def test_a_profile_with_a_flag_is_installed_with_it() -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"], "syscalls": []}
    assert read(profile).flags == 2
    assert python("answer = status('Seccomp')", seccomp=profile) == ["2"]


def test_a_profile_that_denies_execve_is_named_by_what_failed() -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ERRNO"}]}
    with pytest.raises(Failed) as failed:
        confined(["true"], seccomp=profile)
    assert failed.value.args[:2] == ("execute", errno.EPERM)


# -- what is read


def row(profile: Profile, name: str) -> list[int]:
    return [rule.action for rule in profile.rules if rule.name == name]


def test_names_that_no_machine_has_are_passed_over_and_remembered() -> None:
    rows = [{"names": ["umask", "waitpid", "fcntl64"], "action": "SCMP_ACT_ALLOW"}]
    profile = read({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rows})
    assert (row(profile, "umask"), profile.passed_over) == ([ALLOW], ("waitpid", "fcntl64"))


@pytest.mark.parametrize(
    ("filters", "there"),
    [
        ({}, True),
        ({"includes": {}, "excludes": {}}, True),
        ({"includes": {"caps": ["CAP_SYS_TIME"]}}, True),
        ({"includes": {"caps": ["CAP_SYS_TIME", "CAP_SYS_BOOT"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_TIME", "CAP_SYS_BOOT"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_BOOT"]}}, True),
        ({"includes": {"arches": ["amd64", "x32"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["s390x"]}}, True),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.1"}}, True),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"excludes": {"minKernel": "6.1"}}, False),
        ({"includes": {"arches": ["amd64"], "caps": ["CAP_SYS_BOOT"]}}, False),
        ({"excludes": {"arches": ["arm64"], "caps": ["CAP_SYS_TIME"]}}, False),
    ],
)
def test_conditions_of_docker_say_whether_a_rule_is_there(filters: dict[str, Any], there: bool) -> None:
    rows = [{"names": ["umask"], "action": "SCMP_ACT_ALLOW", **filters}]
    profile = read({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rows}, capabilities=["SYS_TIME"])
    assert bool(profile.rules) == there


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"action": "SCMP_ACT_ERRNO"}, ERRNO | errno.EPERM),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 38}, ERRNO | errno.ENOSYS),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 0}, ERRNO),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 1, "errno": "EINVAL"}, ERRNO | errno.EINVAL),
        ({"action": "SCMP_ACT_TRACE", "errnoRet": 7}, TRACE | 7),
        ({"action": "SCMP_ACT_KILL_PROCESS"}, KILL_PROCESS),
        ({"action": "SCMP_ACT_KILL"}, 0),
        ({"action": "SCMP_ACT_LOG", "name": "umask"}, LOG),
    ],
)
def test_an_action_is_read_with_its_number(fields: dict[str, Any], action: int) -> None:
    names = {} if "name" in fields else {"names": ["umask"]}
    profile = read({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{**names, **fields}]})
    assert row(profile, "umask") == [action]


def test_a_rule_that_does_what_is_done_anyway_takes_nothing_from_the_others() -> None:
    # Otherwise the second, which looks at no argument, would go before the first.
    test = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}
    rows = [
        {"names": ["umask"], "action": "SCMP_ACT_ALLOW", "args": [test]},
        {"names": ["umask"], "action": "SCMP_ACT_ERRNO"},
    ]
    text = program(read({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rows}), "x86_64")
    answers = [run(text, AUDIT_ARCH["x86_64"], NUMBERS["x86_64"]["umask"], (each, 0, 0, 0, 0, 0)) for each in (1, 2)]
    assert answers == [ALLOW, ERRNO | errno.EPERM]


def test_two_conditions_on_one_argument_are_two_rules() -> None:
    tests = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (1, 2)]
    rows = [{"names": ["umask"], "action": "SCMP_ACT_ALLOW", "args": tests}]
    assert row(read({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rows}), "umask") == [ALLOW, ALLOW]


# -- what is wrong


def one(**fields: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["umask"], "action": "SCMP_ACT_ALLOW", **fields}]}


@pytest.mark.parametrize(
    ("document", "path", "why"),
    [
        ([], "", "it is not an object but a list"),
        ({}, "", "it needs a defaultAction"),
        ({"defaultAction": "ALLOW"}, "defaultAction", "'ALLOW' is not one of SCMP_ACT_KILL,"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "defaultAction", "SCMP_ACT_NOTIFY is not supported"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x"}, "listenerPath", "nobody would listen"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscals": []}, "syscals", "there is no such field"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}, "syscalls", "it is not a list but an object"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}, "flags[0]", "'X' is not one of"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["amd64"]}, "architectures[0]", "not a name like SCMP"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}, "defaultErrnoRet", "takes no number"),
        ({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [1]}, "syscalls[0]", "it is not an object but a number"),
        ({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": []}]}, "syscalls[0]", "it needs an action"),
        (one(action="SCMP_ACT_NOTIFY"), "syscalls[0].action", "SCMP_ACT_NOTIFY is not supported"),
        (one(names=["a", 1]), "syscalls[0].names[1]", "it is not a text but a number"),
        (one(name="umask"), "syscalls[0]", "both name and names"),
        (
            one(action="SCMP_ACT_ERRNO", errnoRet=4096),
            "syscalls[0].errnoRet",
            "4096 is not a whole number from 0 to 4095",
        ),
        (one(action="SCMP_ACT_ERRNO", errnoRet=True), "syscalls[0].errnoRet", "True is not a whole number"),
        (one(action="SCMP_ACT_ERRNO", errno="EWHAT"), "syscalls[0].errno", "'EWHAT' is not a name like EPERM"),
        (one(args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]), "syscalls[0].args[0].index", "from 0 to 5"),
        (one(args=[{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]), "syscalls[0].args[0].value", "-1 is not"),
        (one(args=[{"index": 0, "value": 2**64, "op": "SCMP_CMP_EQ"}]), "syscalls[0].args[0].value", "is not"),
        (one(args=[{"index": 0, "value": 1, "op": "EQ"}]), "syscalls[0].args[0].op", "'EQ' is not one of SCMP_CMP_NE"),
        (one(args=[{"index": 0, "value": 1}]), "syscalls[0].args[0].op", "it is not a text but nothing"),
        (one(includes={"minKernel": "new"}), "syscalls[0].includes.minKernel", "'new' is not a version like 4.8"),
        (one(excludes={"cap": []}), "syscalls[0].excludes.cap", "there is no such field"),
    ],
)
def test_what_is_wrong_with_a_profile_is_said_where_it_is(document: object, path: str, why: str) -> None:
    with pytest.raises(oci.BadProfile) as bad:
        read(document)
    assert bad.value.path == path
    assert why in bad.value.why
    with pytest.raises(table.Refused) as refused:
        table.steps(Privileges(seccomp=document), KERNEL, root_user=True)
    assert refused.value.field == (f"seccomp.{path}" if path else "seccomp")


def test_text_that_is_no_json_is_refused_with_its_place() -> None:
    with pytest.raises(oci.BadProfile, match="line 2, column 1: it is not JSON"):
        oci.read("{\n", machine="x86_64", release="6.1")
    with pytest.raises(oci.BadProfile, match="nested too deep"):
        oci.read("[" * 200_000, machine="x86_64", release="6.1")
    assert oci.read(json.dumps(allow_list()), machine="x86_64", release="6.1").default == ERRNO | errno.EPERM


def test_a_profile_with_more_than_linux_takes_is_refused() -> None:
    args = [[{"index": 0, "value": value << 33, "op": "SCMP_CMP_EQ"}] for value in range(3000)]
    rows = [{"names": ["umask"], "action": "SCMP_ACT_ALLOW", "args": each} for each in args]
    with pytest.raises(table.Refused, match="Linux takes at most 4096"):
        table.steps(Privileges(seccomp={"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rows}), KERNEL, root_user=True)


KEYS = ["defaultAction", "syscalls", "names", "action", "args", "index", "value", "op", "includes", "caps", "flags"]
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.sampled_from(["SCMP_ACT_ERRNO", "umask"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=30,
)


@given(JSON)
@settings(max_examples=300, deadline=None)
def test_whatever_a_document_holds_it_is_a_profile_or_refused(document: object) -> None:
    try:
        profile = read(document)
    except oci.BadProfile:
        return
    program(profile, "x86_64")


# -- against the library that container runtimes use

LIBRARY = ctypes.util.find_library("seccomp")


class _Comparison(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


OPERATORS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]  # in the order of the library's numbers, from 1
VALUES = st.sampled_from([0, 1, 5, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**63, 2**64 - 1])


def rows_of(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Rules for one call each, so that none overlaps another: there the library leaves open which one holds."""
    operators = st.sampled_from([f"SCMP_CMP_{name}" for name in OPERATORS])
    test = st.fixed_dictionaries({"index": st.integers(0, 5), "value": VALUES, "valueTwo": VALUES, "op": operators})
    args = st.lists(test, max_size=3, unique_by=lambda test: test["index"])
    return st.fixed_dictionaries({"names": st.just(names), "action": st.just("SCMP_ACT_ALLOW"), "args": args})


def compiled(document: dict[str, Any], path: str) -> bytes:
    library = ctypes.CDLL(LIBRARY)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(ERRNO | errno.EPERM)))
    for each in document["syscalls"]:
        tests = [
            _Comparison(
                test["index"],
                OPERATORS.index(test["op"].removeprefix("SCMP_CMP_")) + 1,
                test["value"],
                test["valueTwo"],
            )
            for test in each["args"]
        ]
        array = (_Comparison * max(1, len(tests)))(*tests)
        number = NUMBERS["x86_64"][each["names"][0]]
        assert library.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, len(tests), array) == 0
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        assert library.seccomp_export_bpf(context, file) == 0
        return os.pread(file, 1 << 20, 0)
    finally:
        os.close(file)
        library.seccomp_release(context)


@pytest.mark.skipif(LIBRARY is None or MACHINE != "x86_64", reason="needs libseccomp2, on x86_64")
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_profile_means_what_libseccomp_makes_of_it(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    known = sorted(set(NUMBERS["x86_64"]) - {"uretprobe", "uprobe"})  # those two are newer than the library
    names = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=8, unique=True))
    document = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [data.draw(rows_of([name])) for name in names]}
    theirs = compiled(document, str(tmp_path_factory.getbasetemp() / "filter.bpf"))
    ours = program(read(document), "x86_64")
    named = max((NUMBERS["x86_64"][name] for name in names), default=0)
    for name in [*names, "read", "umask", "openat"]:
        number = NUMBERS["x86_64"][name]
        for arguments in data.draw(st.lists(st.tuples(*[VALUES] * 6), min_size=5, max_size=10)):
            if number <= named:
                arch = AUDIT_ARCH["x86_64"]
                assert run(ours, arch, number, arguments) == run(theirs, arch, number, arguments)
