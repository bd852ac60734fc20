"""Carries out the steps of `table.steps` in a process that is about to execute its program.

`early` while it is still privileged: what only the privileged may raise. `late` as its user: what is given up. Both
take all steps and leave alone what is the other's. Part of the resident process: it imports what is loaded there
anyway, and no step takes longer than its system calls.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
import struct

from sandbox import syscalls
from sandbox.seccomp import install

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from .kind import Step

    class Telling(Protocol):
        step: str

else:
    import _signal  # what `signal` wraps, without its enumerations: 5 ms

_libc = ctypes.PyDLL(None, use_errno=True)
#: Looked up here: what a forked child looks up it forgets, and the search touches half of the C library.
_prctl, _syscall, _capget, _capset = _libc.prctl, _libc.syscall, _libc.capget, _libc.capset

_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2

_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITY_HEADER = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
_CAPABILITY_SETS = struct.Struct("6I")  # effective, permitted, inheritable; the low halves, then the high ones
_NO_CAPABILITIES = bytes(_CAPABILITY_SETS.size)
_answer = ctypes.create_string_buffer(_CAPABILITY_SETS.size)  # once: it makes a type, and each child would again
_LOW = 0xFFFFFFFF

_IOPRIO_WHO_PROCESS = 1

# Since Linux 5.1 a call has the same number on every machine.
_SYS_LANDLOCK_CREATE_RULESET, _SYS_LANDLOCK_ADD_RULE, _SYS_LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH, _LANDLOCK_RULE_NET_PORT = 1, 2
#: Of LANDLOCK_ACCESS_FS_*, those that a rule for a file may have: execute, write, read, truncate, control.
_FOR_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15


def prepare(steps: Sequence[Step]) -> None:
    """To be called by a process that forks others which carry these out; it spares them some of the time."""
    for name, *arguments in steps:
        if name == "seccomp" and isinstance(arguments[0], bytes):
            install.prepare(arguments[0])


def early(steps: Sequence[Step], telling: Telling | None = None) -> None:
    """To be called with the privileges that the process begins with, in the namespaces it will be in.

    `telling.step` is set to what is being done, with the name `table.describe` has for it. Raises OSError; its
    `filename` says the same.

    From here until execve nobody may look at the process but who may look at every one (CAP_SYS_PTRACE).
    """
    _carry_out(_EARLY, steps, telling)
    if telling is not None:
        telling.step = "hide from others"
    # In the sandbox's pid namespace it is seen by those who are there already. What keeps them off is that it has more
    # capabilities, until `late` takes those: then /proc/PID/exe would be the host's interpreter to them, /proc/PID/fd
    # what its parent has open, and /proc/PID/mem a process without a filter (CVE-2016-9962 was that in runc). Not
    # sooner: to a plain user their own /proc/self/oom_score_adj would be somebody else's.
    syscalls.set_dumpable(False)


def late(steps: Sequence[Step], telling: Telling | None = None) -> None:
    """To be called as the process's user, after no_new_privs, last thing before execve. As `early`."""
    _carry_out(_LATE, steps, telling)


def forsake() -> None:
    """Give up every capability, for good: for one who only has to be there. Raises OSError."""
    _bound(0, 0, 0, ())
    _set(_NO_CAPABILITIES)


def _carry_out(table: dict[str, Callable[..., None]], steps: Sequence[Step], telling: Telling | None) -> None:
    for name, *arguments in steps:
        what = str(name)
        do = table.get(what)
        if do is None:
            continue
        if what == "rlimit":
            what = f"rlimit {arguments[-1]}"
        if telling is not None:
            telling.step = f"set {what}"
        try:
            do(*arguments)
        except OSError as error:
            asked = f"{what} {error.filename}" if error.filename else what
            raise OSError(error.errno, error.strerror, asked) from None


def _failed(asked: str = "") -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), asked or None)


# -- capabilities


def _bound(kept: int, effective: int, ambient: int, wanted: Sequence[tuple[int, str]]) -> None:
    capability = 0
    while True:
        if not kept >> capability & 1 and _prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            # EINVAL: one more than this kernel has, so those are gone too that are newer than our table. EPERM:
            # without CAP_SETPCAP the set cannot be cut down, and need not be, for no_new_privs keeps execve from
            # giving what `late` does not leave.
            if ctypes.get_errno() in (errno.EINVAL, errno.EPERM):
                break
            raise _failed()
        capability += 1
    if ambient and effective and _prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0:
        raise _failed()


def _leave(kept: int, effective: int, ambient: int, wanted: Sequence[tuple[int, str]]) -> None:
    """What is ambient must be inheritable, and goes with that."""
    if not effective:
        _set(_NO_CAPABILITIES)
        return
    left = effective
    if _capset(_CAPABILITY_HEADER, _sets(left, ambient)) < 0:
        left &= _permitted()
        _set(_sets(left, ambient))
    for capability, name in wanted:
        if not left >> capability & 1:
            raise OSError(errno.EPERM, "whoever starts the sandbox does not have it", name)
    for capability in range(left.bit_length() * ambient):
        if left >> capability & 1 and _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0:
            raise _failed(f"{capability} ambient")


def _sets(capabilities: int, inheritable: int) -> bytes:
    low, high = capabilities & _LOW, capabilities >> 32
    return _CAPABILITY_SETS.pack(low, low, low * inheritable, high, high, high * inheritable)


def _permitted() -> int:
    if _capget(_CAPABILITY_HEADER, _answer) < 0:
        raise _failed()
    fields = _CAPABILITY_SETS.unpack(_answer)
    return int(fields[1] | fields[4] << 32)


def _set(sets: bytes) -> None:
    if _capset(_CAPABILITY_HEADER, sets) < 0:
        raise _failed()


# -- limits and priorities


def _raise_hard(number: int, soft: int, hard: int, name: str) -> None:
    """Only the hard limit, and only up: the rest of the way to execve needs its own memory, files and time."""
    now = resource.getrlimit(number)
    if now[1] != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or hard > now[1]):
        _setrlimit(number, now[0], hard)


def _setrlimit(number: int, soft: int, hard: int, name: str = "") -> None:
    try:
        resource.setrlimit(number, (soft, hard))
    except ValueError:  # of EPERM and EINVAL Python makes this
        text = "above the hard limit, which only the privileged (CAP_SYS_RESOURCE) raise"
        raise OSError(errno.EPERM, text, f"{_limit(soft)}:{_limit(hard)}") from None
    if number == resource.RLIMIT_FSIZE:
        # If execve fails the caller writes that down, and may be over the limit: an error, then, not its end. What is
        # executed does not inherit a handler.
        _signal.signal(_signal.SIGXFSZ, _go_on)


def _go_on(*_: object) -> None:
    """The write fails with EFBIG."""


def _limit(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


def _oom_score_adj(value: int) -> None:
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(fd, str(value).encode())
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise OSError(error.errno, "lower than it is, which takes CAP_SYS_RESOURCE", str(value)) from None
        raise


def _nice(value: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, value)
    except PermissionError as error:
        raise OSError(error.errno, "below what it is, which takes CAP_SYS_NICE or RLIMIT_NICE", str(value)) from None


def _ionice(number: int, value: int, asked: str) -> None:
    if _syscall(number, _IOPRIO_WHO_PROCESS, 0, value) < 0:
        raise _failed(asked)


def _cpus(cpus: Sequence[int]) -> None:
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        raise OSError(error.errno, "none of them may be used here", _listed(cpus)) from None
    missing = set(cpus) - os.sched_getaffinity(0)  # the kernel takes those it can give, and does not say so
    if missing:
        raise OSError(errno.EINVAL, "they are not there, or not in its cgroup's cpuset", _listed(missing))


def _listed(cpus: Sequence[int] | set[int]) -> str:
    return ",".join(map(str, sorted(cpus)))


def _scheduling(policy: int, priority: int, asked: str) -> None:
    try:
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except PermissionError as error:
        text = "it takes CAP_SYS_NICE or RLIMIT_RTPRIO, and real-time runtime of its cgroup (cpu.rt_runtime_us)"
        raise OSError(error.errno, text, asked) from None


# -- landlock


def landlock_version() -> int:
    """The version of the kernel's interface; 0: there is none, or it is switched off."""
    version: int = _syscall(_SYS_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    return max(version, 0)


def _landlock(
    files: int, net: int, scoped: int, paths: Sequence[tuple[str, int]], ports: Sequence[tuple[int, int]]
) -> None:
    # A kernel that knows less of this structure takes it as long as what it does not know is zero.
    attributes = struct.pack("QQQ", files, net, scoped)
    ruleset = _syscall(_SYS_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        raise _failed()
    try:
        for path, allowed in paths:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                if not stat.S_ISDIR(os.fstat(fd).st_mode):
                    allowed &= _FOR_FILES
                _add_rule(ruleset, _LANDLOCK_RULE_PATH_BENEATH, struct.pack("=Qi", allowed, fd), path)
            finally:
                os.close(fd)
        for port, allowed in ports:
            _add_rule(ruleset, _LANDLOCK_RULE_NET_PORT, struct.pack("=QQ", allowed, port), f"port {port}")
        if _syscall(_SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0) < 0:
            raise _failed()
    finally:
        os.close(ruleset)


def _add_rule(ruleset: int, kind: int, rule: bytes, asked: str) -> None:
    if _syscall(_SYS_LANDLOCK_ADD_RULE, ruleset, kind, rule, 0) < 0:
        raise _failed(asked)


_EARLY: dict[str, Callable[..., None]] = {
    "capabilities": _bound,
    "rlimit": _raise_hard,
    "oom_score_adj": _oom_score_adj,
    "nice": _nice,
    "ionice": _ionice,
    "cpus": _cpus,
    "scheduling": _scheduling,
}

_LATE: dict[str, Callable[..., None]] = {
    "landlock": _landlock,
    "capabilities": _leave,
    "rlimit": _setrlimit,
    "seccomp": install.install,
}
