"""What this machine can give of the privileges, found out by doing it: the facts behind a doctor's lines.

Each row forks a child that tries, and looks at the effect, not at what the call returned.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
import tempfile

from sandbox import syscalls
from sandbox.cgroups.kernel import write
from sandbox.seccomp import UnknownMachine
from sandbox.seccomp.install import install
from sandbox.seccomp.numbers import NUMBERS
from sandbox.seccomp.profile import ALLOW, Profile, deny
from sandbox.seccomp.program import program

from . import doing, table
from .asked import Landlock, Privileges
from .capabilities import KEPT, NAMES, bits
from .kind import Kernel, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

#: (what, whether it works, how it was seen, why it does not, what would help).
Row: TypeAlias = "tuple[str, bool, str, str, str]"


def kernel() -> Kernel:
    """The kernel of this machine."""
    name = os.uname()
    return Kernel(name.machine, name.release, doing.landlock_version())


def probe(groups: Sequence[str] = ()) -> list[Row]:
    """A row for each privilege; a fifth of a second in all. `groups`: as `trial.attempt` has them."""
    remedy = _CAP.format("CAP_SYS_NICE") + "; with version 1 cgroups also cpu.rt_runtime_us of its group"
    real_time = _row("scheduling fifo, rr", lambda: _real_time(groups), remedy)
    return [*(_row(*each) for each in _ROWS), real_time, *_landlock_rows(kernel())]


def _row(what: str, attempt: Callable[[], str], remedy: str) -> Row:
    works, said = _in_child(attempt)
    return (what, True, said, "", "") if works else (what, False, "", said, remedy)


def _in_child(attempt: Callable[[], str]) -> tuple[bool, str]:
    """Whether an attempt succeeds in a process of its own, and how it was seen, or why not."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            try:
                said = "+" + attempt()
            except OSError as error:
                said = f"-{error.filename}: {error.strerror}" if error.filename else f"-{error.strerror}"
            except (Refused, UnknownMachine, _Without) as error:
                said = f"-{error}"
            os.write(writer, said.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answers:
        said = answers.read().decode()
    _, status = os.waitpid(pid, 0)
    if not said:
        return False, f"the attempt ended with status {os.waitstatus_to_exitcode(status)}"
    return said[0] == "+", said[1:]


class _Without(Exception):
    """The call succeeded and its effect is not there."""


def _steps(asked: Privileges) -> None:
    """As a process that is started gets them."""
    steps = table.steps(asked, kernel(), root_user=os.geteuid() == 0)
    doing.early(steps)
    syscalls.set_no_new_privs()
    doing.late(steps)


def _status(key: str) -> str:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(key + ":"):
                return line.split()[1]
    raise _Without(f"/proc/self/status has no {key}")


def _no_new_privs() -> str:
    syscalls.set_no_new_privs()
    if _status("NoNewPrivs") != "1":
        raise _Without("prctl(PR_SET_NO_NEW_PRIVS) has no effect")
    return "NoNewPrivs is 1 in a child that asked for it"


def _seccomp() -> str:
    syscalls.set_no_new_privs()
    install(program(Profile(ALLOW, [deny("getpgid", errno.ENOANO)]), os.uname().machine))
    try:
        os.getpgid(0)
    except OSError as error:
        if error.errno == errno.ENOANO:
            return "a child that forbade itself getpgid was answered as its filter says"
    raise _Without("a filter is installed and does not hold")


def _bounding() -> str:
    _steps(Privileges(seccomp="unconfined"))
    left = int(_status("CapBnd"), 16)
    if left & ~bits(KEPT):
        raise _Without("CAP_SETPCAP is not there")
    return f"a child was left with {left.bit_count()} of {len(NAMES)}"


def _ambient() -> str:
    steps = table.steps(
        Privileges(capabilities_added=["NET_BIND_SERVICE"], seccomp="unconfined"), kernel(), root_user=False
    )
    doing.early(steps)
    if os.geteuid() == 0:
        os.setresuid(65534, 65534, 65534)
    doing.late(steps)
    if int(_status("CapAmb"), 16) != bits(["NET_BIND_SERVICE"]):
        raise _Without("it is not ambient after it was raised")
    return "a child kept NET_BIND_SERVICE over its change of user"


def _own(asked: Privileges, wanted: object, read: Callable[[], object], said: str) -> str:
    """A child gets what is asked, and reads it back."""
    _steps(asked)
    if read() != wanted:
        raise _Without(f"the kernel took {said} and made {read()} of it")
    return f"a child got {said}"


def _nice() -> str:
    wanted = max(os.getpriority(os.PRIO_PROCESS, 0) - 1, -20)
    asked = Privileges(seccomp="unconfined", nice=wanted)
    return _own(asked, wanted, lambda: os.getpriority(os.PRIO_PROCESS, 0), f"nice {wanted}")


def _real_time(groups: Sequence[str]) -> str:
    for file in groups:
        write(file, "0")
    asked = Privileges(seccomp="unconfined", scheduling="fifo:1")
    return _own(asked, os.SCHED_FIFO, lambda: os.sched_getscheduler(0), "SCHED_FIFO with priority 1")


def _ioprio() -> int:
    """There is no call for it in Python, and the kernel shows it nowhere; ioprio_get follows ioprio_set."""
    call = ctypes.PyDLL(None).syscall
    return int(call(NUMBERS[os.uname().machine]["ioprio_get"], 1, 0))


def _ionice() -> str:
    return _own(Privileges(seccomp="unconfined", ionice="best-effort:7"), 2 << 13 | 7, _ioprio, "best-effort:7")


def _ionice_real_time() -> str:
    return _own(Privileges(seccomp="unconfined", ionice="realtime:7"), 1 << 13 | 7, _ioprio, "realtime:7")


def _oom_score_adj() -> str:
    wanted = max(_oom_score() - 1, -1000)
    return _own(Privileges(seccomp="unconfined", oom_score_adj=wanted), wanted, _oom_score, f"oom_score_adj {wanted}")


def _oom_score() -> int:
    with open("/proc/self/oom_score_adj") as file:
        return int(file.read())


def _hard_limit() -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    asked = Privileges(seccomp="unconfined", rlimits={"nofile": str(hard + 1)})
    return _own(asked, hard + 1, lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[1], f"RLIMIT_NOFILE {hard + 1}")


def _affinity() -> str:
    one = min(os.sched_getaffinity(0))
    _steps(Privileges(seccomp="unconfined", cpus=str(one)))
    if os.sched_getaffinity(0) != {one}:
        raise _Without("sched_setaffinity has no effect")
    return f"a child ran on processor {one} alone"


_CAP = "run as root, or in a container that is given {}"

_ROWS: tuple[tuple[str, Callable[[], str], str], ...] = (
    ("no_new_privs", _no_new_privs, "Linux 3.5 or later"),
    ("seccomp filters", _seccomp, "a kernel with CONFIG_SECCOMP_FILTER, on x86_64 or aarch64"),
    ("capabilities: bounding set", _bounding, _CAP.format("CAP_SETPCAP")),
    ("capabilities: for other users", _ambient, _CAP.format("CAP_SETUID and what is asked")),
    ("nice below what it is", _nice, _CAP.format("CAP_SYS_NICE") + ", or RLIMIT_NICE"),
    ("ionice", _ionice, "Linux 2.6.13 or later"),
    ("ionice realtime", _ionice_real_time, _CAP.format("CAP_SYS_NICE or CAP_SYS_ADMIN")),
    ("cpus", _affinity, "a cpuset with that processor"),
    ("oom_score_adj below what it is", _oom_score_adj, _CAP.format("CAP_SYS_RESOURCE")),
    ("rlimits above the hard limit", _hard_limit, _CAP.format("CAP_SYS_RESOURCE")),
)


def _landlock_rows(here: Kernel) -> list[Row]:
    if not here.landlock:
        text = "the kernel has no Landlock, or it is not among its lsm="
        return [("landlock", False, "", text, "Linux 5.13 or later, started with landlock in lsm=")]
    rows = [_row("landlock: files", _landlock_files, "Linux 5.13 or later, started with landlock in lsm=")]
    for what, since, release, attempt in (
        ("landlock: TCP ports", 4, "6.7", _landlock_ports),
        ("landlock: signals", 6, "6.12", _landlock_signals),
        ("landlock: abstract UNIX sockets", 6, "6.12", _landlock_sockets),
    ):
        if here.landlock < since:
            text = f"it has version {here.landlock} of the interface, which comes before {since}"
            rows.append((what, False, "", text, f"Linux {release} or later"))
        else:
            rows.append(_row(what, attempt, "a kernel without whatever undoes it: another security module, say"))
    return rows


def _landlock_files() -> str:
    with tempfile.TemporaryDirectory() as directory:
        inside = f"{directory}/inside"
        os.mkdir(inside)
        works, said = _in_child(lambda: _landlock_files_in(directory, inside))
    if not works:
        raise _Without(said)
    return said


def _landlock_files_in(directory: str, inside: str) -> str:
    _steps(Privileges(seccomp="unconfined", landlock=Landlock(write=[inside])))
    with open(f"{inside}/file", "w"):
        pass
    try:
        os.mkdir(f"{directory}/other")
    except PermissionError:
        return f"version {doing.landlock_version()}: a child could write below one directory alone"
    raise _Without("a child could write beside the directory it kept to")


def _landlock_ports() -> str:
    with socket.socket() as free, socket.socket() as other:
        _steps(Privileges(seccomp="unconfined", landlock=Landlock(bind=[0])))
        free.bind(("127.0.0.1", 0))
        try:
            other.bind(("127.0.0.1", 65001))
        except PermissionError:
            return "a child could bind no port but of the kernel's choice"
    raise _Without("a child could bind a port that it kept away from")


def _landlock_signals() -> str:
    parent = os.getppid()
    _steps(Privileges(seccomp="unconfined", landlock=Landlock(scoped=["signal"])))
    try:
        os.kill(parent, 0)
    except PermissionError:
        return "a child could not signal its parent"
    raise _Without("a child could signal a process outside its scope")


def _landlock_sockets() -> str:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("")  # the kernel makes up an abstract name
        server.listen()
        _steps(Privileges(seccomp="unconfined", landlock=Landlock(scoped=["abstract-unix-socket"])))
        try:
            client.connect(server.getsockname())
        except PermissionError:
            return "a child could not connect to an abstract socket from before"
    raise _Without("a child could connect to an abstract socket outside its scope")
