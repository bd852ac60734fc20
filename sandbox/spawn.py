"""Start processes in a sandbox: fork, carry out the steps, say which one failed, exec.

A forked child takes its place (cgroup, namespaces) and waits at its gate until `Child.go` says what it will be; if its
parent dies first it goes away without having executed anything. So the parent can write down whom it has forked before
that one can do anything, and nobody who reads what is written can be wrong about what was executed. And the parent can
fork before it knows that it will: most of the time that a start takes is then already spent.

Only the lightest modules are imported here: this runs in a resident process, and what it forks it must copy.
"""

from __future__ import annotations

import _socket
import errno
import marshal
import os
import resource
import stat
import struct

from . import syscalls
from .cgroups.kernel import PROCS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .plan import Plan
else:
    import _signal  # what `signal` wraps, without its enumerations: 5 ms

#: The child's last word before execve: every step before it succeeded.
_READY = b"\0"

#: The first word of one that goes between: the pid of the real one.
_FORKED_MARK = b"\1"
_FORKED = struct.Struct("<cI")

#: Exit status of a child that did not come to execute its program.
NEVER_EXECUTED = 127

#: Why a fork itself fails. Anything else (an old kernel, a seccomp filter around us, a group that is gone) is about
#: the birth into a cgroup: the child is born here then, moves by itself, and says what is wrong with that.
_NO_FORK_AT_ALL = (errno.EAGAIN, errno.ENOMEM)

_HERE = -100  # AT_FDCWD

#: The steps of one that goes between.
_ENTER, _FORK = "enter its namespaces", "fork"

#: The step of a child whose parent died before it opened the gate: it may be asked for again.
ORPHANED = "wait"


class Failure(Exception):
    """A step of a start failed: nothing was executed. `step` says which, `errno` why."""

    def __init__(self, step: str, number: int, text: str = "") -> None:
        super().__init__(f"{step}: {text or os.strerror(number)}")
        self.step = step
        self.errno = number
        self.text = text or os.strerror(number)


class Killed(Failure):
    """It was killed before it could execute anything: its wait status says by what."""


class Place:
    """Where one process will be, and as whom: all that can be made ready before it is wanted.

    `cgroups`: files of the leaf it joins, each takes a "0". `enter`: CLONE_NEW* bits of the namespaces of `init` (a
    pidfd) it enters. `credentials`: (uid, gid, groups), or None to stay who we are. `directory`: where it runs.
    `logs`: path of its log directory, relative to `directory`, made as its user. `output`: a descriptor that takes what
    it writes instead, or -1. `privileges`: what it gives up, see `sandbox.privileges`.

    Of a user namespace `credentials` are ids inside, and where it has more than one of them they must be given.
    """

    __slots__ = ("cgroups", "credentials", "directory", "enter", "init", "inside", "logs", "output", "privileges")

    def __init__(
        self,
        directory: str,
        logs: str,
        cgroups: Sequence[str | int] = (),
        credentials: tuple[int, int, Sequence[int]] | None = None,
        init: int = -1,
        enter: int = 0,
        output: int = -1,
        privileges: Sequence[tuple[Any, ...]] = (),
    ) -> None:
        self.directory = directory
        self.logs = logs
        self.cgroups = cgroups
        self.credentials = credentials
        self.init = init
        self.enter = enter
        self.inside = bool(enter & syscalls.CLONE_NEWNS)  # of other mounts than whoever forks it
        self.output = output
        self.privileges = privileges

    def but(self, cgroups: Sequence[str | int], enter: int) -> Place:
        """The same place with less left to do."""
        left = Place(
            self.directory, self.logs, cgroups, self.credentials, self.init, enter, self.output, self.privileges
        )
        left.inside = self.inside
        return left


class Order:
    """What one process will execute, its environment, and its working directory: "" or relative to its place's."""

    __slots__ = ("argv", "cwd", "env")

    def __init__(self, argv: list[str], env: dict[str, str], cwd: str = "") -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd


class Child:
    """A forked child at its gate. `channel` becomes readable when it has executed its program, or could not."""

    __slots__ = ("_said", "_socket", "channel", "pid")

    def __init__(self, pid: int, socket: _socket.socket) -> None:
        self.pid = pid
        self.channel = socket.fileno()
        self._socket = socket
        self._said = b""

    def go(self, order: Order | None = None) -> None:
        """Open the gate. The first process of a sandbox needs no order."""
        words: Any = order and (order.argv, order.env, order.cwd)
        body = marshal.dumps(words)
        try:
            self._socket.sendall(len(body).to_bytes(4, "little") + body)
        except OSError:
            pass  # it was killed at the gate; its exit says so

    def dismiss(self) -> None:
        """It will not be needed: it goes away without having executed anything, and without calling `never`."""
        self.go()
        self._socket.close()

    def waits(self) -> bool:
        """Whether it is still there, at its gate or on its way to it."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def executed(self) -> bool:
        """Whether the program is executing. False: not known yet. Raises Failure: it never will."""
        while True:
            try:
                said = self._socket.recv(4096, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except OSError:
                said = b""
            if not said:
                return self._verdict()
            self._said += said

    def wait(self) -> None:
        """Until it is known that the program is executing. Raises Failure."""
        try:
            while said := self._socket.recv(4096):
                self._said += said
        except ConnectionResetError:
            pass  # its end, when it did not come to read its order
        self._socket.close()
        self._verdict()

    def close(self) -> None:
        """Its channel is of no use any more. A poller must have let go of it before: children forked since hold it
        open too, and to the kernel it is not closed."""
        self._socket.close()

    def meets_the_real_one(self) -> bool:
        """From here on it is whom it has forked. False: it has failed, or was killed, before."""
        while len(self._said) < _FORKED.size and self._said[:1] in (b"", _FORKED_MARK):
            try:
                said = self._socket.recv(_FORKED.size - len(self._said))
            except ConnectionResetError:
                said = b""
            if not said:
                return False
            self._said += said
        if self._said[:1] != _FORKED_MARK:
            return False
        _, self.pid = _FORKED.unpack(self._said)
        self._said = b""
        return True

    def found_nobody(self) -> bool:
        """Whether it failed because the sandbox's first process has ended."""
        try:
            while said := self._socket.recv(4096):
                self._said += said
        except ConnectionResetError:
            pass
        return self._said.startswith((f"{_ENTER}\n{errno.ESRCH}\n".encode(), f"{_FORK}\n{errno.ENOMEM}\n".encode()))

    def _verdict(self) -> bool:
        if self._said == _READY:
            return True
        if not self._said:
            raise Killed("start", errno.ECHILD, "it was killed before it could execute anything")
        step, number, text = self._said.lstrip(_READY).decode(errors="replace").split("\n", 2)
        raise Failure(step, int(number), text)


class _Gate:
    """The child's end: what it is doing, for the message if it fails, and where it waits for its order."""

    __slots__ = ("_socket", "step")

    def __init__(self, socket: _socket.socket) -> None:
        self._socket = socket
        self.step = "start"

    def wait(self) -> Order | None:
        """What the parent says. Raises _Orphaned where it went away instead."""
        self.step = "start"
        length = int.from_bytes(self._read(4), "little")
        words = marshal.loads(self._read(length))
        return words and Order(*words)

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            try:
                more = self._socket.recv(length - len(data))
            except ConnectionResetError:
                raise _Orphaned from None
            if not more:
                raise _Orphaned
            data += more
        return data

    def forked(self, pid: int) -> None:
        self._socket.sendall(_FORKED.pack(_FORKED_MARK, pid))

    def ready(self, argv: list[str]) -> None:
        self.step = f"execute {argv[0]}"
        try:
            self._socket.send(_READY, _socket.MSG_NOSIGNAL)
        except OSError:
            pass  # the parent died, and the order holds all the same: whoever comes after it finds a run under way

    def failed(self, number: int, text: str) -> None:
        self._socket.send(f"{self.step}\n{number}\n{text}".encode(errors="replace"), _socket.MSG_NOSIGNAL)


class _Orphaned(Exception):
    """The parent died."""


def fork(place: Place, never: Callable[[str, int, str], object]) -> Child:
    """Fork a child that takes its place and waits for its order.

    Raises OSError where the fork itself fails. With ENOMEM it may be that the first process of the sandbox has ended:
    that is what the kernel says of a fork into its pid namespace.

    `never` is called in the child with (step, errno, text) if it will not execute anything: so the fact is kept
    even where the parent is not there to be told.
    """
    if place.privileges:
        expect(place.privileges)
    if place.enter & syscalls.CLONE_NEWPID:
        return _fork_through(lambda gate: _go_between(place, gate), never)
    whole = [file for file in place.cgroups if isinstance(file, str) and file.endswith("/" + PROCS)]
    if len(whole) == 1:
        rest = [file for file in place.cgroups if file not in whole]
        try:
            born = place.but(rest, place.enter)
            return _fork(lambda gate: _become(born, gate), never, whole[0].removesuffix("/" + PROCS))
        except OSError as error:
            if error.errno in _NO_FORK_AT_ALL:
                raise
    return _fork(lambda gate: _become(place, gate), never)


def expect(privileges: Sequence[tuple[Any, ...]]) -> None:
    """Processes with these privileges will be forked: make ready, while nobody waits, what the first fork would."""
    from .privileges import doing  # here: where the child will be its file may not be

    doing.prepare(privileges)


def fork_first(plan: Plan, argv: list[str], *, stays: bool = True) -> Child:
    """Fork the first process of a sandbox: it makes and furnishes the namespaces, and then only stays.

    The caller has called `unshare(plan.clone)`. `argv`: what it is called; it executes a program that only waits, and
    lets its dead children go. Without `stays` it goes away when all is made: a rehearsal.
    """
    argv = argv if stays else []
    if plan.users is not None:
        return _fork_through(lambda gate: _make_users(plan, argv, gate), _tell_nobody)
    return _fork(lambda gate: _become_first(plan, argv, {}, gate), _tell_nobody)


def _tell_nobody(step: str, number: int, text: str) -> None:
    """The parent waits for the first process, and is told by its channel."""


def _fork(body: Callable[[_Gate], None], never: Callable[[str, int, str], object], born_in: str = "") -> Child:
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        pid = syscalls.fork_into(born_in) if born_in else os.fork()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if pid:
        theirs.close()
        return Child(pid, ours)
    try:
        _signal.set_wakeup_fd(-1)  # a signal to the child is none to its parent
        ours.close()
        gate = _Gate(theirs)
        try:
            body(gate)
        except _Orphaned:
            never(ORPHANED, 0, "the keeper died before it let it go")
            os._exit(NEVER_EXECUTED)
        except OSError as error:
            where = f" ({error.filename})" if error.filename and str(error.filename) not in gate.step else ""
            failed = (error.errno or 0, (error.strerror or os.strerror(0)) + where)
        except Exception as error:  # a bug of ours must not look like an exec
            failed = (0, repr(error))
        else:
            raise AssertionError("execve came back")
        try:
            never(gate.step, *failed)
        finally:
            gate.failed(*failed)
    finally:
        os._exit(NEVER_EXECUTED)


def _fork_through(
    before: Callable[[_Gate], Callable[[_Gate], None]], never: Callable[[str, int, str], object]
) -> Child:
    """Fork a child that goes where only its own children can be born: one that goes between.

    It does what comes before, forks the real one as our child, tells us its pid, and is gone when this returns. If it
    fails, it is the child, and says so.
    """

    def body(gate: _Gate) -> None:
        after = before(gate)
        gate.step = _FORK
        told, tell = os.pipe()
        pid = syscalls.fork_sibling()
        if pid:
            gate.forked(pid)
            os.write(tell, b".")
            os._exit(0)
        # What the real one says comes after its pid, or never: words that overtook it would be taken for the other's,
        # and a dead child would stay that nobody knows of, and with it the pid namespace that it has died in.
        os.close(tell)
        if not os.read(told, 1):
            os._exit(NEVER_EXECUTED)
        os.close(told)
        after(gate)

    child = _fork(body, never)
    between = child.pid
    if child.meets_the_real_one():
        os.waitpid(between, 0)
    elif child.found_nobody():
        child.close()
        os.waitpid(between, 0)
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return child


def _become(place: Place, gate: _Gate) -> None:
    _take_place(place, gate)
    _go_inside(place, gate)
    order = gate.wait()
    if order is None:
        if place.output < 0:
            _remove_logs(place)
        os._exit(NEVER_EXECUTED)
    if not os.stat(".").st_nlink or (place.output < 0 and not os.fstat(1).st_nlink):
        _go_inside(place, gate)  # while it waited, somebody removed them
    if order.cwd:
        gate.step = "enter its working directory"
        _enter(order.cwd, place)
    if _descriptors is not None:  # not sooner: until execve it holds open what its parent does
        soft, _ = _descriptors
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    syscalls.close_on_exec_from(3)  # before a filter of system calls may forbid it
    gate.ready(order.argv)
    if place.privileges:  # after our last word to the parent: a filter of system calls may forbid to send one
        from .privileges import doing

        executes = gate.step
        doing.late(place.privileges, gate)
        gate.step = executes
    _exec(order.argv, order.env)


def _go_between(place: Place, gate: _Gate) -> Callable[[_Gate], None]:
    gate.step = "join its cgroup"
    # Joined by the real one: two at once could be more than its limit. The kernel asks who opened the file.
    groups = [os.open(file, os.O_WRONLY) for file in place.cgroups if isinstance(file, str)]
    gate.step = _ENTER
    syscalls.setns(place.init, place.enter & ~syscalls.CLONE_NEWCGROUP)
    inside = place.but(groups, place.enter & syscalls.CLONE_NEWCGROUP)
    return lambda gate: _become(inside, gate)


def _take_place(place: Place, gate: _Gate) -> None:
    gate.step = "join its cgroup"
    for file in place.cgroups:
        fd = os.open(file, os.O_WRONLY) if isinstance(file, str) else file
        os.write(fd, b"0")
        os.close(fd)
    gate.step = "start a session"
    os.setsid()
    if place.enter:
        gate.step = _ENTER
        others = place.enter & ~syscalls.CLONE_NEWCGROUP
        if others:
            try:
                syscalls.setns(place.init, others)
            except ProcessLookupError:  # of another sandbox there is hope
                raise OSError(errno.EAGAIN, "its first process has ended") from None
        if others != place.enter:  # one of its own, whose root is the group that it has joined
            syscalls.unshare(syscalls.CLONE_NEWCGROUP)
    os.umask(0o022)
    reset_signals()
    if place.privileges:
        from .privileges import doing

        doing.early(place.privileges, gate)
    if place.credentials is not None:
        # The kernel makes a process that changes its user one that this user may not trace: what the keeper has
        # open stays out of its reach until execve has closed it.
        gate.step = "become its user"
        uid, gid, groups = place.credentials
        os.setgroups(list(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    gate.step = "give up privileges"
    syscalls.set_no_new_privs()


def _go_inside(place: Place, gate: _Gate) -> None:
    gate.step = "enter its directory"
    _enter(place.directory, place)
    if not os.stat(".").st_nlink:  # a mount inside still leads to it
        raise FileNotFoundError(errno.ENOENT, "it has been removed", place.directory)
    if place.output >= 0:
        os.dup2(_open_null(), 0)
        os.dup2(place.output, 1)
        os.dup2(place.output, 2)
        return
    gate.step = "open its logs"
    _open_logs(place)


def _enter(path: str, place: Place) -> None:
    fd = _directory(path, place)
    os.fchdir(fd)
    os.close(fd)


def _directory(path: str, place: Place, start: int | None = None) -> int:
    """A descriptor of a directory; in a mount namespace by a path that leads through its own files alone.

    What we hold open of the host's (as whoever forks us may) is to be had by a link to /proc/self/fd/NUMBER, and by ..
    all that is above it: a task that lays one would be outside (CVE-2024-21626 was that in runc).
    """
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    if not place.inside:
        return os.open(path, flags, dir_fd=start)
    try:
        return syscalls.openat2(_HERE if start is None else start, path, flags, syscalls.RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(error.errno, "a link in it leads in a circle, or through what a process has open", path) from None


def _exec(argv: list[str], env: Mapping[str, str]) -> None:
    program = argv[0]
    if "/" in program:
        _execute(program, argv, env)
    missing: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
    for directory in env.get("PATH", "/usr/bin:/bin").split(":"):
        try:
            _execute(f"{directory or '.'}/{program}", argv, env)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:  # of this file, or of this directory to this user: as execvp, go on looking
            missing = error
    raise missing


def _execute(path: str, argv: list[str], env: Mapping[str, str]) -> None:
    try:
        os.execve(path, argv, env)
    except FileNotFoundError:
        if not os.path.exists(path):
            raise
        raise FileNotFoundError(errno.ENOENT, "the interpreter it asks for does not exist", path) from None


def _open_logs(place: Place) -> None:
    """Descriptors 0, 1, 2. As the task's user, so a link laid here reaches nothing that the user cannot reach."""
    directory = _log_directory(place)
    null = _open_null()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO nobody reads is an error
    out = _open_log("stdout", flags, directory, place)
    err = _open_log("stderr", flags, directory, place)
    os.close(directory)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(err, 2)


def _open_log(name: str, flags: int, directory: int, place: Place) -> int:
    try:
        fd = os.open(name, flags, 0o644, dir_fd=directory)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{place.logs}/{name}") from None
    os.set_blocking(fd, True)
    return fd


def _open_null() -> int:
    """A task's root may have put something else there: a link to what we have open, a FIFO that nobody writes."""
    fd = os.open(os.devnull, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISCHR(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "it is not a device any more", os.devnull)
    os.set_blocking(fd, True)
    return fd


_OF_ITS_OWN = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _log_directory(place: Place) -> int:
    """What is missing of it is made."""
    directory: int | None = None
    for part in place.logs.split("/"):
        try:
            os.mkdir(part, 0o755, dir_fd=directory)
        except FileExistsError:
            pass
        try:
            below = os.open(part, _OF_ITS_OWN, dir_fd=directory)
        except OSError:  # a link, perhaps
            try:
                below = _directory(part, place, directory)
            except OSError as error:
                raise OSError(error.errno, error.strerror, place.logs) from None
        if directory is not None:
            os.close(directory)
        directory = below
    assert directory is not None
    return directory


def _remove_logs(place: Place) -> None:
    """Of a run that never was."""
    above, _, name = place.logs.rpartition("/")
    try:
        parent = _directory(above or ".", place)
        directory = _directory(name, place, parent)
        os.unlink("stdout", dir_fd=directory)
        os.unlink("stderr", dir_fd=directory)
        os.rmdir(name, dir_fd=parent)
    except OSError:
        pass  # the task's user has been there


def raise_descriptor_limit() -> None:
    """As many open files for this process as it may have; what it starts gets the limit that we were given."""
    global _descriptors
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        _descriptors = (soft, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


_descriptors: tuple[int, int] | None = None


def reset_signals() -> None:
    """Default dispositions and an empty mask: neither Python's (it ignores SIGPIPE) nor our caller's stay."""
    for number in _ignored:
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


_ignored = [
    number for number in range(1, 65) if number not in (9, 19, 32, 33) and _signal.getsignal(number) == _signal.SIG_IGN
]


def ignore(number: int) -> None:
    """Ignore a signal in this process; what it starts gets the default again."""
    _signal.signal(number, _signal.SIG_IGN)
    _ignored.append(number)


def _make_users(plan: Plan, argv: list[str], gate: _Gate) -> Callable[[_Gate], None]:
    from . import userns

    def begin(part: str) -> None:
        gate.step = f"make {part}"

    held = userns.make(plan, begin)
    return lambda gate: _become_first(plan, argv, held, gate)


def _become_first(plan: Plan, argv: list[str], held: dict[str, int], gate: _Gate) -> None:
    from . import furnish, pause  # now: soon their files may be hidden
    from .privileges import doing

    def begin(part: str) -> None:
        gate.step = f"make {part}"

    gate.wait()
    os.setsid()
    os.umask(0o022)
    reset_signals()
    program = pause.program() if argv else None
    null = os.open("/dev/null", os.O_RDWR)
    furnish.carry_out(plan.first, held, begin)
    os.chdir("/")
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    gate.step = "give up privileges"
    syscalls.set_no_new_privs()
    doing.forsake()
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # survives execve: the kernel reaps for it
    syscalls.close_on_exec_from(3)
    gate.ready(argv or ["nothing"])
    if not argv:
        os._exit(0)
    if program is None:
        pause.stay(argv[0])
    pause.confine()
    os.execve(program, argv, {})
