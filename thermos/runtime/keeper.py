"""The keeper: the hands of a task, and what the agent's child becomes. Parent of all its processes.

It does what the supervisor asks (start this run, send that signal), remembers every exit until the supervisor has
it in the journal, starts a supervisor again when it dies, hands on signals, and exits with the task's result. It
decides nothing. All it knows is in its ledger, so a new keeper knows it too.

Asking twice for the same run starts it once: the answer is the run that there is. The same for signals, which
carry the sequence number of the decision they follow from.

    supervisor -> keeper                               keeper -> supervisor
    witness [(process, run)...] + a pidfd each         charge root task_id + the lock
    prepare what                                       started process run pid ticks at + a pidfd
    hello                                              (the answers begin)
    expect process run place                           never process run step errno text at
    spawn process run argv env cwd place               exited process run status source oom cpu memory lingers at why
    signal seq process run number stop to command      emptied process run at
    aid number process run argv env cwd place + output aided number status
    unaid number                                       prepared pid got missing
    ack process run                                    signal number at
    durable
    heard
    end status text
                                                       known      (all that was to be told has been told)

A place is (logs, leaf, credentials or None for the task's, limits): all of a run that can be made ready beforehand.
An aid is a command that helps with a run and is no run itself: a health check, or what stops it. It shares the run's
cgroup and its end, is nobody's to remember, and is killed when the supervisor that wanted it dies.

Python's smallest modules only, and what it imports of ours keeps to that: this process lives as long as the task.
"""

from __future__ import annotations

import errno
import marshal
import os
import select
import sys
import time

from sandbox import spawn, syscalls
from sandbox.cgroups import tree
from sandbox.cgroups.figures import figures, kills_whole_groups, watch_oom
from sandbox.plan import Plan, from_words, parts, without
from sandbox.spec import Limits
from thermos import paths

from . import identity, ledger, start
from .clock import since_boot as now  # the supervisor makes it a date
from .wire import Closed, Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Sequence
    from typing import Any

    _Key = tuple[int, int]  # process, run
else:
    import _signal

#: What the sandbox's first process is called. It stays, wakes up for nothing, and leaves the reaping to the kernel.
_FIRST = ["thermos-pause"]

#: What pidfd_open says where a pid is nobody's, or is a thread's by now.
_NO_SUCH_PROCESS = (errno.ESRCH, errno.EINVAL, errno.ENOENT)

#: Seconds for what is still there at the end to die of SIGKILL; then it is left behind.
_LAST_PATIENCE = 10.0

#: How often to look who dies of a lack of memory, 2 ms apart.
_OOM_LOOKS = 50

#: What is no lack of the host's, but of this moment: nothing is left out of a sandbox for it.
_FOR_NOW = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)

#: Exit status of a supervisor that cannot read the journal: the next one could not either.
_DATA_ERROR = 65

#: After this many supervisors in a row that died before they asked what there is, wait before the next one: in
#: seconds, doubled up to the second number.
_YOUNG, _PATIENT = 5, (0.5, 30.0)


class _Run:
    """What the keeper knows of one run."""

    __slots__ = (
        "acked",
        "at",
        "child",
        "ended",
        "executed",
        "fork",
        "leaf",
        "lingers",
        "never",
        "oom_fd",
        "oom_victim",
        "pid",
        "pidfd",
        "signals",
        "stopping",
        "ticks",
        "told",
    )

    def __init__(self, pid: int, ticks: int, leaf: str, fork: str, at: float) -> None:
        self.pid = pid
        self.ticks = ticks
        self.leaf = leaf  # the name of its own cgroup in the task's
        self.fork = fork  # which child it is, of those that were forked for it
        self.at = at  # when it was executed
        self.child: spawn.Child | None = None  # while it is not known whether it executes
        self.pidfd = -1  # for one that is not our child
        self.executed = False
        self.never: tuple[str, int, str, float] | None = None  # step, errno, text, at
        self.ended: tuple[int, str, int, int, int, float, str] | None = None  # see `exited`
        self.lingers = False
        self.oom_fd = -1  # tells that its group is short of memory, where we have to kill what the kernel spares
        self.oom_victim = False  # we killed it for that
        self.acked = False  # before it was reaped: it never executed anything
        self.told = False  # its end, with something of it still alive
        self.signals: set[int] = set()  # decisions carried out
        self.stopping = False  # it was asked to stop: what outlives its main process has time until SIGKILL


class Keeper:
    def __init__(self, root: str, task_id: str, isolated: bool, lock: int, ready: int, follower: int) -> None:
        self._root = root
        self._task_id = task_id
        self._lock = lock
        self._ready = ready  # a descriptor to close once the task is supervised, or -1
        self._follower = follower  # a child that prints the journal, or 0
        self._ledger = ledger.Ledger(f"{paths.task_dir(root, task_id)}/{paths.LEDGER}")
        self._boot = identity.boot_id()
        self._inherited = False  # an earlier keeper of the task has written to it
        self._runs: dict[_Key, _Run] = {}
        self._by_pid: dict[int, _Key] = {}
        # A run, its place, its child at the gate, and which fork that is.
        self._expected: tuple[_Key, tuple[Any, ...], spawn.Child, str] | None = None
        self._aids: dict[int, int] = {}  # pid -> the supervisor's number for it; 0: nobody waits for its end
        self._dismissed: dict[int, str] = {}  # pid -> leaf of children that were not needed
        self._wire: Wire | None = None
        self._supervisor = 0
        self._supervisor_status = 0
        self._supervisor_fd = -1
        self._young = 0
        self._order: dict[str, Any] = {}
        self._setting: dict[str, Any] = _setting(root, task_id) if isolated else {}
        self._wanted = from_words(self._setting["plan"]) if self._setting else None
        self._plan: Plan | None = None  # what of it there is
        self._missing: dict[str, str] = {}
        self._network = ""  # the sandbox's own address
        self._parts_known = False  # what of it there is
        self._nothing = False  # the host can give nothing of it, and the task is to be all the same
        self._first: tuple[int, int, int, int] | None = None  # the first process: pid, ticks, plan's clone and enter
        self._made: list[str] | None = None  # that it is ready: see the ledger
        self._init = -1  # its pidfd
        self._survivors = False  # runs of an earlier keeper may be in a sandbox that is over
        self._host_pid_ns = -1
        self._epoll = select.epoll()
        self._watch: dict[int, Callable[[int], None]] = {}
        self._woken = -1  # becomes readable with a signal
        self._heard = False  # the supervisor has said hello: tell it what happens
        self._wants_write = False
        self._asked: list[tuple[int, float]] = []  # SIGTERM and SIGINT that the supervisor has not written down yet
        self._exit: int | None = None
        self._tasks: dict[str, Callable[..., None]] = {
            "hello": self.do_hello,
            "durable": self.do_durable,
            "prepare": self.do_prepare,
            "spawn": self.do_spawn,
            "expect": self.do_expect,
            "signal": self.do_signal,
            "unaid": self.do_unaid,
            "ack": self.do_ack,
            "heard": self.do_heard,
            "end": self.do_end,
        }
        self._restart_at: float | None = None

    # -- life

    def live(self, socket: int, supervisor: int) -> int:
        """Until the task has ended. Returns the exit status."""
        spawn.raise_descriptor_limit()  # each child that is being started has a channel
        syscalls.set_child_subreaper()
        if self._setting:
            _leave_keyring()
        self._catch_signals()
        self._remember()
        if socket >= 0:
            self._take_supervisor(socket, supervisor)
        else:
            self._start_supervisor()
        try:
            self._make_sandbox()
        except OSError:
            pass  # the host lacks something: the first spawn tries again, and says why not
        if self._setting:
            spawn.expect(self._setting["privileges"])  # the supervisor is still starting
        while self._exit is None:
            timeout = None if self._restart_at is None else max(self._restart_at - now(), 0)
            for watch, fd, events in [(self._watch.get(fd), fd, events) for fd, events in self._epoll.poll(timeout)]:
                # An earlier event of this turn may have closed it, and its number may be another's by now.
                if watch is not None and self._watch.get(fd) is watch and self._exit is None:
                    watch(events)
            if self._restart_at is not None and now() >= self._restart_at:
                self._restart_at = None
                self._start_supervisor()
        return self._exit

    def _on(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        self._watch[fd] = callback
        self._epoll.register(fd, events)

    def _off(self, fd: int) -> None:
        if self._watch.pop(fd, None) is not None:
            try:
                self._epoll.unregister(fd)
            except OSError:
                pass

    # -- signals and children

    def _catch_signals(self) -> None:
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for number in (_signal.SIGHUP, _signal.SIGUSR1, _signal.SIGUSR2, _signal.SIGPIPE):
            spawn.ignore(number)
        for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGCHLD):
            _signal.signal(number, _only_wake_up)
        _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        self._woken = reader
        self._on(reader, select.EPOLLIN, lambda _: self._signals())

    def _drain(self) -> bytes:
        """The numbers of the signals that have come."""
        try:
            return os.read(self._woken, 4096)
        except BlockingIOError:
            return b""

    def _signals(self) -> None:
        for number in self._drain():
            if number in (_signal.SIGTERM, _signal.SIGINT):
                self._asked.append((number, now()))
                if self._heard:
                    self._say("signal", *self._asked[-1])
        self._reap()

    def _reap(self) -> None:
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if dead is None:
                return
            pid = dead.si_pid
            key = self._by_pid.get(pid)
            status = _wait_status(dead.si_code, dead.si_status)
            if key is not None:
                self._verdict_of_start(key)
                run = self._runs[key]
                why = "" if run.executed or run.never else "it was killed before it executed anything"
                self._ended(key, status, "waited", why)
                if not self._order["group"]:
                    _kill_group(pid, 9)  # now, while nobody else can have its number
            elif pid == self._supervisor:
                self._supervisor_status = status
            elif self._expected is not None and pid == self._expected[2].pid:
                self._dismiss()
            elif pid in self._aids:
                number = self._aids.pop(pid)
                if number:
                    self._say("aided", number, status)
            os.waitid(os.P_PID, pid, os.WEXITED)
            if key is not None:
                self._clear(key)
            elif pid in self._dismissed:
                leaf = self._dismissed.pop(pid)
                if all(run.leaf != leaf for run in self._runs.values()):
                    tree.remove(self._leaf(leaf))

    # -- the ledger

    def _remember(self) -> None:
        """What earlier keepers of this task wrote down. Of an earlier boot nothing lives, but what ended is known."""
        boot = ""
        self._inherited = self._ledger.size > 0
        for words in self._ledger.lines():
            if words[0] == "boot":
                boot = words[1]
                self._forget_the_living()
            elif words[0] == "first":
                self._first = (int(words[1]), int(words[2]), int(words[3]), int(words[4]))
                self._made = None
            elif words[0] == "made":
                self._made = words[2:]
            else:
                try:
                    self._remember_run(words)
                except (IndexError, ValueError):
                    pass  # written onto a torn line by an orphan: as if it had not been written
        if boot != self._boot:
            self._forget_the_living()
            self._ledger.append("boot", self._boot)

    def _forget_the_living(self) -> None:
        self._first = self._made = None
        self._runs = {key: run for key, run in self._runs.items() if run.ended or run.never}

    def _remember_run(self, words: list[str]) -> None:
        key = (int(words[1]), int(words[2]))
        if words[0] == "spawned":
            self._runs[key] = _Run(int(words[3]), int(words[4]), ledger.unquote(words[5]), words[6], now())
        elif key in self._runs:
            run = self._runs[key]
            if words[0] == "stopping":
                run.stopping = True
            elif words[0] == "never" and words[6] == run.fork:
                run.never = (ledger.unquote(words[4]), int(words[3]), ledger.unquote(words[5]), now())
            elif words[0] == "exited":
                status, oom, cpu, memory = int(words[3]), *map(int, words[5:8])
                run.executed = True
                run.ended = (status, words[4], oom, cpu, memory, float(words[8]), "")

    def _shrink_ledger(self) -> None:
        """Forget what is acknowledged. Not while a child may still write to it."""
        if self._ledger.size < ledger.LARGEST or any(run.child for run in self._runs.values()):
            return
        lines: list[tuple[object, ...]] = [("boot", self._boot)]
        if self._first is not None:
            lines.append(("first", *self._first))
            if self._made is not None:
                lines.append(("made", self._first[0], *self._made))
        for key, run in self._runs.items():
            lines.append(("spawned", *key, run.pid, run.ticks, ledger.quote(run.leaf), run.fork))
            if run.never:
                step, number, text, _ = run.never
                lines.append(("never", *key, number, ledger.quote(step), ledger.quote(text), run.fork))
            elif run.ended:
                lines.append(("exited", *key, *run.ended[:6]))
            if run.stopping:
                lines.append(("stopping", *key))
        try:
            self._ledger.rewrite(lines)
        except OSError:
            self._ledger.size = 0  # a full disk: again when it has grown as much once more
            return
        if self._ledger.size > ledger.LARGEST // 2:  # all of it is alive: next time much later
            self._ledger.size = -self._ledger.size

    # -- the supervisor

    def _start_supervisor(self) -> None:
        inside = self._init >= 0 and self._plan is not None and self._plan.clone
        if inside:
            self._in_host_pid_ns()
        try:
            socket, pid = start.start_supervisor()
        except OSError:  # no pid, no memory, no descriptor: the task's processes run on, and we try again
            self._young = max(self._young + 1, _YOUNG)
            self._start_supervisor_later()
            return
        finally:
            if inside:
                self._in_its_pid_ns()
        self._take_supervisor(socket, pid)

    def _start_supervisor_later(self) -> None:
        first, most = _PATIENT
        self._restart_at = now() + min(first * 2 ** min(self._young - _YOUNG, 10), most)

    def _take_supervisor(self, socket: int, pid: int) -> None:
        self._supervisor = pid
        self._supervisor_status = 0
        self._supervisor_fd = os.pidfd_open(pid)
        self._heard = False
        self._wire = Wire(socket)
        self._wants_write = False
        self._on(socket, select.EPOLLIN, self._heed)
        self._on(self._supervisor_fd, select.EPOLLIN, lambda _: self._supervisor_died())
        self._wire.send(("charge", self._root, self._task_id), (self._lock,))

    def _supervisor_died(self) -> None:
        began = self._heard
        self._drop_supervisor()
        self._reap()
        if self._exit is not None:
            return
        status = self._supervisor_status  # 0 where it was not our child: it had started us
        left = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
        if left == _DATA_ERROR:
            # It left by itself and has said why. Its processes live; `resume` takes them over.
            self._exit = left
            return
        waits = left != 0  # it cannot write, or has a bug: of another one later there is hope
        self._young = 0 if began and not waits else max(self._young + 1, _YOUNG if waits else 0)
        if self._young < _YOUNG:
            self._start_supervisor()
        else:
            self._start_supervisor_later()

    def _drop_supervisor(self) -> None:
        if self._wire is None:
            return
        try:
            self._off(self._wire.fileno())
            self._take_messages(self._wire.receive())
        except Closed:
            pass
        self._wire.close()
        self._wire = None
        self._heard = False
        self._off(self._supervisor_fd)
        os.close(self._supervisor_fd)
        for number in filter(None, list(self._aids.values())):
            self.do_unaid(number)  # the next supervisor asks for what it wants

    def _say(self, *message: object, fds: tuple[int, ...] = ()) -> None:
        if self._wire is None:
            return
        self._wire.send(message, fds)
        self._note_writing()

    def _note_writing(self) -> None:
        if self._wire is not None and self._wire.wants_write != self._wants_write:
            self._wants_write = self._wire.wants_write
            events = select.EPOLLIN | (select.EPOLLOUT if self._wants_write else 0)
            self._epoll.modify(self._wire.fileno(), events)

    def _heed(self, events: int) -> None:
        assert self._wire is not None
        if events & select.EPOLLOUT:
            self._wire.flush()
            self._note_writing()
        try:
            self._take_messages(self._wire.receive())
        except Closed:
            self._off(self._wire.fileno())  # its end is told by the pidfd

    def _take_messages(self, messages: list[tuple[tuple[Any, ...], tuple[int, ...]]]) -> None:
        for (name, *rest), fds in messages:
            if name == "witness":
                self.do_witness(rest[0], fds)
            elif name == "aid":
                self.do_aid(fds[0] if fds else -1, *rest)
            else:
                self._tasks[name](*rest)
        self._shrink_ledger()

    def do_witness(self, keys: list[_Key], fds: tuple[int, ...]) -> None:
        """A supervisor that outlived the last keeper held these pidfds all the time."""
        for key, fd in zip(keys, fds, strict=False):  # the last ones are missing where we may open no more files
            run = self._runs.get(key)
            if run is not None and run.ended is None and run.pid not in self._by_pid and run.pidfd < 0:
                run.pidfd = fd
            else:
                os.close(fd)

    def do_durable(self) -> None:
        """The task is on disk for good: whoever asked for a detached one may rely on it."""
        if self._ready >= 0:
            os.write(self._ready, b"1")
            os.close(self._ready)
            self._ready = -1

    def do_hello(self) -> None:
        """Tell all that is not acknowledged. What was forked by an earlier keeper is adopted here."""
        for key, run in list(self._runs.items()):
            if run.pid in self._by_pid:
                continue
            if run.ended is None and run.never is None:
                self._adopt(key, run)
            elif not run.lingers:
                self._clear(key)  # an earlier keeper may have died over it
        for key, run in list(self._runs.items()):
            self._tell(key, run)
        self._heard = True
        self._say("known")
        for asked in self._asked:
            self._say("signal", *asked)

    def _tell(self, key: _Key, run: _Run) -> None:
        if run.executed or run.never is not None:  # else it will be told
            self._tell_start(key, run)
        self._tell_end(key, run)

    def _tell_start(self, key: _Key, run: _Run) -> None:
        if run.never is not None:
            self._say("never", *key, *run.never)
        elif run.ended is not None:
            self._say("started", *key, run.pid, run.ticks, run.at)
        else:
            fd = os.dup(run.pidfd) if run.pidfd >= 0 else os.pidfd_open(run.pid)
            self._say("started", *key, run.pid, run.ticks, run.at, fds=(fd,))
            os.close(fd)

    def _tell_end(self, key: _Key, run: _Run) -> None:
        if run.ended is not None:
            self._say("exited", *key, *run.ended[:5], run.lingers, *run.ended[5:])
            run.told = True

    # -- the sandbox

    def _make_sandbox(self) -> None:
        """Its first process, found again or made. The supervisor is still starting meanwhile."""
        if self._first is not None:
            if self._enter_again():
                return
            self._survivors = True
        self._make_first()

    def _make_sandbox_again(self) -> None:
        """Its first process died, and all the others with it."""
        self._make_first()
        self._tell_sandbox()

    def do_prepare(self, order: dict[str, Any]) -> None:
        """What holds for every run; then every spawn may come."""
        self._order = order
        if self._survivors:
            self._survivors = False
            self._end_survivors()
        self._tell_sandbox()

    def _tell_sandbox(self) -> None:
        got: dict[str, str] = {}
        if self._plan is not None and self._setting:
            got = {part: self._setting["parts"].get(part, "private") for part in parts(self._plan)}
        if self._network:
            got["network"] = self._network
        self._say("prepared", self._first[0] if self._first else None, self._parts_known and got, self._missing)

    def _enter_again(self) -> bool:
        assert self._first is not None
        pid, ticks, clone, enter = self._first
        try:
            init = os.pidfd_open(pid)
        except OSError:
            return False
        if identity.ticks(pid) != ticks or _ended(init, 0):
            os.close(init)
            return False
        if self._made is None:  # its keeper died over it: nobody was let in, and nobody knows how much is made
            _kill_by(init)
            os.close(init)
            return False
        network, *missing = map(ledger.unquote, self._made)
        self._network, self._missing = network, dict(zip(missing[::2], missing[1::2], strict=True))
        self._parts_known = self._wanted is not None
        self._plan = Plan(clone, [], enter)
        if self._wanted is not None:
            self._plan = self._wanted
            for part in self._missing:
                self._plan = without(self._plan, part)
        return self._have_init(init)

    def _have_init(self, init: int) -> bool:
        """False: it is dying, and nobody can enter its namespaces any more."""
        assert self._plan is not None
        self._init = init
        self._on(init, select.EPOLLIN, lambda _: self._lost_init())
        return not self._plan.clone or self._in_its_pid_ns()

    def _in_its_pid_ns(self) -> bool:
        """Our next child is born in the sandbox's pid namespace. False: it is dying, and is forgotten."""
        try:
            syscalls.setns(self._init, syscalls.CLONE_NEWPID)
        except ProcessLookupError:
            self._lost_init()
            return False
        return True

    def _in_host_pid_ns(self) -> None:
        """Our next child is born where we live."""
        if self._host_pid_ns < 0:
            self._host_pid_ns = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        syscalls.setns(self._host_pid_ns, syscalls.CLONE_NEWPID)

    def _lost_init(self) -> None:
        """The first process died, and with it the sandbox: all the others end too. The next spawn makes it anew."""
        assert self._plan is not None
        self._dismiss()
        self._off(self._init)
        os.close(self._init)
        self._init = -1
        self._first = self._made = None
        if self._plan.clone:
            self._in_host_pid_ns()
        if not self._plan.enter & syscalls.CLONE_NEWPID and not self._plan.clone & syscalls.CLONE_NEWPID:
            self._end_survivors()

    def _end_survivors(self) -> None:
        """Where there is no pid namespace the kernel ends nobody. Who went on would be in another sandbox than those
        that follow: with another /tmp, and without its network, which goes to the next."""
        if not self._order:  # nobody has told us yet what they are in
            self._survivors = True
            return
        for run in self._runs.values():
            if run.ended is None and run.never is None:
                tree.kill(self._leaf(run.leaf))
                if not self._order["group"] and identity.ticks(run.pid) == run.ticks:
                    _kill_group(run.pid, 9)

    def _make_first(self) -> None:
        """Its first process. What the host cannot give is left out, and told, but for what the task asks for by name.

        Raises OSError."""
        plan = self._wanted
        missing: dict[str, str] = {}
        self._dismiss()  # it would be outside
        self._plan = None
        self._first = self._made = None
        self._network = ""
        self._parts_known = False
        program = self._begin_network()
        try:
            plan = self._make_what_can_be_had(plan, missing)
            if program is not None and plan is not None:
                self._network = self._connect(program, plan, missing)
            self._note_made(missing)
        except OSError:
            self._drop_first()
            raise
        finally:
            if program is not None:
                program.dismiss()
        self._missing = missing
        self._parts_known = self._wanted is not None
        self._nothing = plan is None

    def _note_made(self, missing: dict[str, str]) -> None:
        if self._first is None:
            return
        made = [ledger.quote(word) for word in (self._network, *(word for pair in missing.items() for word in pair))]
        self._ledger.append("made", self._first[0], *made)
        self._made = made

    def _drop_first(self) -> None:
        """The sandbox was not finished, and nobody has been let in."""
        if self._init < 0:
            return
        _kill_by(self._init)
        _ended(self._init, _LAST_PATIENCE)
        self._lost_init()

    def _make_what_can_be_had(self, plan: Plan | None, missing: dict[str, str]) -> Plan | None:
        while plan is not None and (plan.clone or plan.enter):
            try:
                if plan.clone:
                    syscalls.unshare(plan.clone)
            except OSError as error:
                missing["pid"] = f"cannot unshare: {os.strerror(error.errno or 0)}"
                plan = self._less(plan, "pid", error.errno or 0, missing["pid"])
                continue
            try:
                child, first, init = self._fork_first(plan)
            except OSError:  # the host lacks something; nobody must be born in a namespace without a first process
                if plan.clone:
                    self._in_host_pid_ns()
                raise
            child.go()
            try:
                child.wait()
            except spawn.Failure as failure:
                os.close(init)
                os.waitpid(child.pid, 0)
                if plan.clone:
                    self._in_host_pid_ns()
                part = failure.step.partition(" ")[2]
                if isinstance(failure, spawn.Killed):
                    raise OSError(errno.EAGAIN, str(failure)) from None
                if part not in parts(plan):  # that is nothing that could be left out
                    raise OSError(failure.errno, str(failure)) from None
                missing[part] = f"cannot {failure.step}: {failure.text}"
                plan = self._less(plan, part, failure.errno, missing[part])
                if part == "ids of sandbox":  # without it nobody in there could write its own directory
                    missing["user"] = missing[part]
                    plan = self._less(plan, "user", failure.errno, missing[part])
                continue
            self._first = first
            self._plan = plan
            if self._have_init(init):
                return plan
        return None

    def _less(self, plan: Plan, part: str, number: int, why: str) -> Plan:
        """Raises OSError where the task is not to be without it, or it is missing for the moment only."""
        if part in plan.required or number in _FOR_NOW:
            raise OSError(number, why)
        return without(plan, part)

    def _begin_network(self) -> Any:
        """The program that connects a network of the task's own; it imports while the sandbox is made."""
        if not self._setting.get("network"):
            return None
        from sandbox import network

        from . import programs

        return programs.Program(network.command("up"))

    def _connect(self, program: Any, plan: Plan, missing: dict[str, str]) -> str:
        from . import programs

        assert self._first is not None
        try:
            answer = program.ask({**self._setting["network"], "pid": self._first[0]})
            rates = [f"{name} {rate} bit/s" for name, rate in answer["bandwidth"].items() if rate]
            return ", ".join((f"{answer['address']} behind {answer['gateway']}", *rates))
        except programs.Cannot as error:
            missing["network"] = str(error)
            if "network" in plan.required:
                raise OSError(errno.ENETUNREACH, str(error)) from None
            return ""

    def _fork_first(self, plan: Plan) -> tuple[spawn.Child, tuple[int, int, int, int], int]:
        """A first process at its gate, its line in the ledger, and its pidfd."""
        child = spawn.fork_first(plan, _FIRST)
        try:
            first = (child.pid, identity.ticks(child.pid) or 0, plan.clone, plan.enter)
            init = os.pidfd_open(child.pid)
            try:
                self._ledger.append("first", *first)
            except OSError:
                os.close(init)
                raise
        except OSError:
            child.close()  # it goes away
            raise
        return child, first, init

    # -- runs

    def do_spawn(
        self, process: int, run: int, argv: list[str], env: dict[str, str], cwd: str, place: tuple[Any, ...]
    ) -> None:
        key = (process, run)
        known = self._runs.get(key)
        if known is not None:
            self._tell(key, known)
            return
        step = "make its cgroup"
        leaf = place[1]
        try:
            if self._expected is not None and not self._expected[2].waits():
                self._dismiss()  # somebody killed it
            if self._expected is not None and self._expected[0] == key and self._expected[1] != place:
                self._dismiss()  # its limits have changed since
            if self._expected is None or self._expected[0] != key:
                self._make_leaf(place)
            step = "make its sandbox"
            if self._lacks_sandbox():
                self._make_sandbox_again()
            step = "fork"
            try:
                child = self._begin(key, place, argv, env, cwd)
            except OSError as error:
                if error.errno != errno.ENOMEM or not self._init_died():
                    raise
                self._make_sandbox_again()
                child = self._begin(key, place, argv, env, cwd)
        except OSError as error:
            tree.remove(self._leaf(leaf))
            self._say("never", *key, step, error.errno or 0, error.strerror or str(error), now())
            return
        # Its end alone says something: that it said it was ready does not have to wake us.
        self._on(child.channel, select.EPOLLHUP, lambda _: self._verdict_of_start(key))
        self._watch_memory(key, self._runs[key])

    def _make_leaf(self, place: tuple[Any, ...]) -> None:
        """A run's own cgroup, with its limits. Raises OSError."""
        _, leaf, _, limits = place
        tree.make_leaf(self._order["group"], leaf)
        if not limits:
            return
        for name, asked, got, why in tree.limit(tree.leaf_group(self._order["group"], leaf), Limits(**limits)):
            if got is None:
                raise OSError(errno.EINVAL, f"no {name} limit of {asked}: {why}")

    def _init_died(self) -> bool:
        """Whether the sandbox's first process is dead or dying: then fork fails in its pid namespace, and the kernel
        calls that a lack of memory. It is not gone before we have reaped the others."""
        if self._init < 0:
            return False
        for _ in range(200):
            self._reap()
            if _ended(self._init, 0.005):
                self._lost_init()
                return True
        return False

    def do_expect(self, process: int, run: int, place: tuple[Any, ...]) -> None:
        """A run that will probably be asked for next: fork its child now, while there is nothing else to do."""
        key = (process, run)
        if key in self._runs or (self._expected is not None and self._expected[0] == key):
            return
        self._dismiss()
        if self._lacks_sandbox():
            return
        leaf = place[1]
        try:
            self._make_leaf(place)
            child, fork = self._fork(key, place)
        except OSError:
            tree.remove(self._leaf(leaf))
            return  # if it is really asked for, it will be told why not
        self._expected = (key, place, child, fork)

    def _lacks_sandbox(self) -> bool:
        """Whether one has to be made before anybody is forked."""
        return self._wanted is not None and self._init < 0 and not self._nothing

    def _dismiss(self) -> None:
        """The child that was forked for a run that is not to be; its leaf goes when it has gone, see `_reap`."""
        if self._expected is not None:
            _, place, child, _ = self._expected
            self._expected = None
            self._dismissed[child.pid] = place[1]
            child.dismiss()

    def _fork(self, key: _Key, place: tuple[Any, ...]) -> tuple[spawn.Child, str]:
        """A child at its gate, and its name in the ledger."""
        self._await_dismissed(place[1])
        fork = os.urandom(4).hex()
        child = spawn.fork(
            self._place(key[0], place),
            lambda step, number, text: self._ledger.append(
                "never", *key, number, ledger.quote(step), ledger.quote(text), fork
            ),
        )
        return child, fork

    def _await_dismissed(self, leaf: str) -> None:
        """One that was forked for the same run, and was not needed, removes its logs: not when another has opened them.
        Raises OSError."""
        for pid, its in self._dismissed.items():
            if its == leaf:
                pidfd = os.pidfd_open(pid)
                if not _ended(pidfd, 1):
                    _kill_by(pidfd)
                os.close(pidfd)

    def _place(self, process: int, place: tuple[Any, ...], output: int = -1) -> spawn.Place:
        order = self._order
        logs, leaf, credentials, _ = place
        enter = self._plan.enter if self._plan is not None else 0
        credentials = credentials or order["credentials"]
        if enter & syscalls.CLONE_NEWUSER and os.geteuid() == 0:
            credentials = credentials or (0, 0, ())  # it has to be somebody whom the namespace knows
        privileges = self._setting["own"].get(process, self._setting["privileges"]) if self._setting else ()
        return spawn.Place(
            order["directory"],
            logs,
            tree.joins(order["group"], leaf),
            credentials,
            self._init,
            enter,
            output,
            privileges,
        )

    def _begin(self, key: _Key, place: tuple[Any, ...], argv: list[str], env: dict[str, str], cwd: str) -> spawn.Child:
        leaf = place[1]
        if self._expected is not None and self._expected[0] == key:
            _, _, child, fork = self._expected
            self._expected = None
        else:
            child, fork = self._fork(key, place)
        run = _Run(child.pid, identity.ticks(child.pid) or 0, leaf, fork, 0.0)
        run.child = child
        self._ledger.append("spawned", *key, run.pid, run.ticks, ledger.quote(leaf), fork)
        self._runs[key] = run
        self._by_pid[run.pid] = key
        child.go(spawn.Order(argv, self._environment(env, place[2]), cwd))
        return child

    def _environment(self, env: dict[str, str], credentials: tuple[int, int, Sequence[int]] | None) -> dict[str, str]:
        whole = {**self._order["env"], **env}
        profile = f"{self._order['directory']}/.thermos_profile"
        if "BASH_ENV" not in whole and self._trusts(credentials) and os.path.isfile(profile):
            whole["BASH_ENV"] = profile
        return whole

    def _trusts(self, credentials: tuple[int, int, Sequence[int]] | None) -> bool:
        """Whether a process with these would execute what the task's user has written, and owns."""
        of_task = self._order["credentials"]
        owner = of_task[0] if of_task is not None else os.geteuid()
        return owner == 0 or credentials is None or credentials[0] == owner

    # -- aids

    def do_aid(
        self,
        output: int,
        number: int,
        process: int,
        run: int,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        place: tuple[Any, ...],
    ) -> None:
        """Start a command beside a run that lives; `aided` follows when it has ended, or could not begin."""
        known = self._runs.get((process, run))
        try:
            if output < 0:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            if known is None or known.ended is not None:
                raise OSError(errno.ESRCH, "the run has ended")
            self._aid(number, argv, env, cwd, self._place(process, place, output))
        except OSError as error:
            try:
                os.write(output, f"cannot start it: {error.strerror}\n".encode())
            except OSError:
                pass  # nobody waits for it any more
            self._say("aided", number, spawn.NEVER_EXECUTED << 8)
        finally:
            if output >= 0:
                os.close(output)

    def _aid(self, number: int, argv: list[str], env: dict[str, str], cwd: str, place: spawn.Place) -> None:
        """Raises OSError where it cannot be forked. What fails later is on its output."""
        child = spawn.fork(place, lambda step, number, text: _say_why(place.output, step, text))
        self._aids[child.pid] = number
        child.go(spawn.Order(argv, self._environment(env, place.credentials), cwd))
        child.close()

    def do_unaid(self, number: int) -> None:
        """Nobody waits for it any more: it takes too long, say."""
        for pid, its in self._aids.items():
            if its == number:
                self._aids[pid] = 0
                _kill_group(pid, 9)

    def _leaf(self, name: str) -> list[str]:
        return tree.directories(self._order["group"], name)

    def _verdict_of_start(self, key: _Key) -> None:
        """Whether a forked child executes its program. Called when its channel says something, and at its end."""
        run = self._runs[key]
        child = run.child
        if child is None:
            return
        try:
            if not child.executed():
                return
        except spawn.Killed:
            pass  # its wait status will tell
        except spawn.Failure as failure:
            run.never = (failure.step, failure.errno, failure.text, now())
        else:
            run.executed = True
            run.at = now()
        self._off(child.channel)
        child.close()
        run.child = None
        if self._heard and (run.executed or run.never):
            self._tell_start(key, run)

    def _adopt(self, key: _Key, run: _Run) -> None:
        """Watch a process that an earlier keeper forked. It is not our child; see `_adopted_ended`."""
        run.executed = True
        if run.pidfd < 0:
            try:
                run.pidfd = os.pidfd_open(run.pid)
                if identity.ticks(run.pid) != run.ticks:
                    os.close(run.pidfd)
                    run.pidfd = -1
            except OSError as error:
                if error.errno not in _NO_SUCH_PROCESS:
                    raise  # no descriptors left, say: that says nothing about the process
        if run.pidfd < 0:
            from . import witness  # few keepers need it

            run.pidfd = witness.ask(self._root, self._task_id, run.pid, run.ticks)
            self._adopted_ended(key)
            return
        self._by_pid[run.pid] = key
        self._on(run.pidfd, select.EPOLLIN, lambda _: self._adopted_ended(key))
        self._watch_memory(key, run)

    # -- memory: in version 1 the kernel kills one process, and whoever wants more dead has to see to it

    def _watch_memory(self, key: _Key, run: _Run) -> None:
        group: dict[str, str] = self._order["group"]
        if self._order["oom"] not in ("run", "task") or kills_whole_groups(group) or run.oom_fd >= 0:
            return
        try:
            run.oom_fd, _ = watch_oom(tree.leaf_group(group, run.leaf))
        except OSError:
            return  # it is over already
        self._on(run.oom_fd, select.EPOLLIN, lambda _: self._short_of_memory(key))

    def _short_of_memory(self, key: _Key) -> None:
        """Every group below the one that is short is told, and 10 ms before anybody dies: wait until it shows who."""
        run = self._runs[key]
        try:
            os.eventfd_read(run.oom_fd)
        except BlockingIOError:
            return
        for _ in range(_OOM_LOOKS):
            if figures(self._order["group"], run.leaf)[0]:
                victims = list(self._runs.values()) if self._order["oom"] == "task" else [run]
                for each in victims:
                    if each.ended is None and each.never is None:
                        each.oom_victim = True
                        tree.kill(self._leaf(each.leaf))
                return
            time.sleep(0.002)

    def _forget_memory(self, run: _Run) -> None:
        if run.oom_fd >= 0:
            self._off(run.oom_fd)
            os.close(run.oom_fd)
            run.oom_fd = -1

    def _adopted_ended(self, key: _Key) -> None:
        run = self._runs[key]
        status, source = -1, "unknown"
        if run.pidfd >= 0:
            reaped = syscalls.pidfd_exit_status(run.pidfd)
            zombie = identity.zombie_status(run.pid, run.ticks) if reaped is None else None
            if reaped is None and zombie is None:  # reaped between the two looks
                reaped = syscalls.pidfd_exit_status(run.pidfd)
            if reaped is not None:
                status, source = reaped, "pidfd"
            elif zombie is not None:
                status, source = zombie, "zombie"
            self._off(run.pidfd)
            os.close(run.pidfd)
            run.pidfd = -1
        for words in self._ledger.lines():
            if words[0] == "never" and words[1:3] == [str(key[0]), str(key[1])]:
                self._remember_run(words)
        why = ""
        if run.never is not None:  # it was told as running: until now it could not be seen that it did not
            step, _, text, _ = run.never
            run.never, status, source, why = None, -1, "unknown", f"it executed nothing: cannot {step}: {text}"
        self._ended(key, status, source, why)
        self._clear(key)

    def _ended(self, key: _Key, status: int, source: str, why: str = "") -> None:
        """Write the exit down, before anyone reaps it."""
        run = self._runs[key]
        if run.never is not None:
            return
        oom, cpu, memory = figures(self._order["group"], run.leaf)
        oom = max(oom, run.oom_victim)
        run.ended = (status, source, oom, cpu, memory, now(), why)
        try:
            self._ledger.append("exited", *key, *run.ended[:6])
        except OSError:
            pass  # a full disk: it is remembered here, and the journal will have it

    def _clear(self, key: _Key) -> None:
        """Nothing of a run outlives it: kill what is left, and report."""
        run = self._runs[key]
        self._by_pid.pop(run.pid, None)
        self._forget_memory(run)
        leaf = self._leaf(run.leaf)
        if not tree.remove(leaf[:1]):  # every one of them holds the same processes
            if not (run.stopping and tree.tells_when_empty(leaf)):
                tree.kill(leaf)
            if not tree.remove(leaf):
                run.lingers = True
                self._await_empty(key, run, leaf)
        if run.acked or (run.never is not None and run.never[0] == spawn.ORPHANED):
            del self._runs[key]  # an orphan may be asked for again
        elif self._heard:
            self._tell_end(key, run)
        if not run.lingers:
            tree.remove(leaf[1:])  # now that the supervisor is at work

    def _await_empty(self, key: _Key, run: _Run, leaf: list[str]) -> None:
        for directory in leaf:
            try:
                fd = os.open(f"{directory}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # version 1: it tells nobody
            self._watch_empty(key, run, fd)
            return
        _remove_patiently(leaf)
        run.lingers = False

    def _watch_empty(self, key: _Key, run: _Run, fd: int) -> None:
        self._on(fd, select.EPOLLPRI, lambda _: self._check_empty(key, run, fd))
        self._check_empty(key, run, fd)

    def _check_empty(self, key: _Key, run: _Run, fd: int) -> None:
        """Of a run that may be forgotten by now: one that never executed anything is, when that is acknowledged."""
        try:
            if b"populated 1" in os.pread(fd, 256, 0):  # to read it also arms the event for what happens after
                return
        except OSError:
            pass  # ENODEV: its directory is gone already, with others of the leaf still there
        self._off(fd)
        os.close(fd)
        _remove_patiently(self._leaf(run.leaf))
        run.lingers = False
        if run.told and self._heard:
            self._say("emptied", *key, now())

    def do_signal(
        self, seq: int, process: int, run: int, number: int, stop: bool, to: str, command: tuple[Any, ...] | None
    ) -> None:
        """A signal; or a command (argv, env, cwd, place) that has the same effect."""
        known = self._runs.get((process, run))
        if known is None or known.never is not None or seq in known.signals:
            return
        if known.ended is not None and not known.lingers:
            return
        known.signals.add(seq)
        if number == _signal.SIGKILL:
            tree.kill(self._leaf(known.leaf))
        if known.ended is not None:
            return
        if stop and number != _signal.SIGKILL:
            if to != "main":  # what that leaves behind was not asked, and has no time
                self._note_stop((process, run), known)
            if command is not None and self._stop_by(process, command, known):
                return
            if to == "all":
                self._stop_those_outside(known, number)
        alone = to == "main" and number != _signal.SIGKILL
        if known.pidfd >= 0:  # not our child: its pid may be another's by now, its pidfd never
            try:
                _signal.pidfd_send_signal(known.pidfd, number if alone else 0)
            except ProcessLookupError:
                return
        elif alone:
            os.kill(known.pid, number)
        if not alone:
            _kill_group(known.pid, number)

    def _stop_by(self, process: int, command: tuple[Any, ...], run: _Run) -> bool:
        """False where it cannot be started: the signal must do then. What it says goes to the run's logs."""
        argv, env, cwd, place = command
        env = {**env, "THERMOS_PID": str(identity.pid_inside(run.pid))}
        try:
            self._aid(0, argv, env, cwd, self._place(process, place))
        except OSError:
            return False
        return True

    def _note_stop(self, key: _Key, run: _Run) -> None:
        if not run.stopping:
            run.stopping = True
            try:
                self._ledger.append("stopping", *key)
            except OSError:
                pass  # a full disk: the next keeper would be less patient

    def _stop_those_outside(self, run: _Run, number: int) -> None:
        """What a run has forked twice, or given a session: in its cgroup, and not in its main process's group."""
        for directory in self._leaf(run.leaf)[:1]:
            for pid in tree.processes(directory):
                try:
                    if os.getpgid(pid) != run.pid:
                        os.kill(pid, number)
                except ProcessLookupError:
                    pass

    def do_ack(self, process: int, run: int) -> None:
        known = self._runs.get((process, run))
        if known is None or (known.ended is None and known.never is None) or known.lingers:
            return
        if known.pid in self._by_pid:
            known.acked = True
        else:
            del self._runs[process, run]

    def do_heard(self) -> None:
        """The first signal that is not yet acknowledged is in the journal."""
        del self._asked[:1]

    def do_end(self, status: int, text: str, errands: Sequence[tuple[list[str], Any, float, bool]] = ()) -> None:
        """The task is over: nothing of it stays but its directory. `errands`: programs that see to the rest of it, what
        each is asked, for how many seconds it is waited for, and whether it goes on when they are over."""
        self._dismiss()
        for run in self._runs.values():
            if run.ended is None and run.never is None:
                tree.kill(self._leaf(run.leaf))
                _kill_group(run.pid, 9)
        if self._init >= 0:
            _kill_by(self._init)
        self._kill_children()
        if not self._order["group"] and self._inherited:
            self._kill_strays()
        patient_until = now() + _LAST_PATIENCE
        while not tree.remove_tree(self._order["group"]) and now() < patient_until:
            time.sleep(0.001)  # the kernel has still to take its dead out of it
        if errands and self._plan is not None and self._plan.clone:
            self._in_host_pid_ns()  # in one whose first process is dead nobody is born
        for errand in errands:
            self._run_errand(*errand)
        if self._follower:
            try:
                os.waitpid(self._follower, 0)
            except ChildProcessError:
                pass
        if text:
            try:
                os.write(2, text.encode() + b"\n")
            except OSError:
                pass
        self._exit = status

    def _run_errand(self, argv: list[str], question: Any, patience: float, spared: bool) -> None:
        """What fails, or is not done to the end, is said: `resume` does it again."""
        from . import programs

        try:
            left = programs.ask(argv, question, patience, spared).get("kept")
        except programs.Cannot as error:
            left = str(error)
        if left:
            try:
                os.write(2, f"thermos: {self._task_id}: {left}\n".encode(errors="replace"))
            except OSError:
                pass

    def _kill_children(self) -> None:
        """Orphans that came to us, where no pid namespace kept them together."""
        spared = {self._supervisor, self._follower}
        patient_until = now() + _LAST_PATIENCE
        while now() < patient_until:
            self._reap()
            text = tree.read(f"/proc/self/task/{os.getpid()}/children")
            children = [pid for pid in map(int, text.split()) if pid not in spared]
            if not children:
                return
            for pid in children:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
            # Any of them: the first process of a pid namespace is not gone before we have reaped the others in it.
            select.select([self._woken], [], [], max(patient_until - now(), 0))
            self._drain()

    def _kill_strays(self) -> None:
        """What got away from a keeper that died, where no group says whose it is: what it inherited says it."""
        for pidfd in identity.strays(self._order["env"]):
            _kill_by(pidfd)


def _setting(root: str, task_id: str) -> dict[str, Any]:
    """How the sandbox is to be made; see `sandboxing`. Without it there is no task to be in charge of."""
    path = f"{paths.task_dir(root, task_id)}/{paths.SETTING}"
    try:
        with open(path, "rb") as file:
            setting: dict[str, Any] = marshal.loads(file.read())
    except (OSError, ValueError, EOFError, TypeError) as error:
        why = getattr(error, "strerror", None) or f"it is damaged: {error}"
        os.write(2, f"cannot make the sandbox of {task_id}: {why}: {path}\n".encode())
        os._exit(_DATA_ERROR)
    return setting


def _ended(pidfd: int, seconds: float) -> bool:
    """Whether a process ends within so many seconds."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _kill_by(pidfd: int) -> None:
    """SIGKILL, to a process that somebody else may have killed and reaped."""
    try:
        _signal.pidfd_send_signal(pidfd, 9)
    except ProcessLookupError:
        pass


def _leave_keyring() -> None:
    """What we start must not have the keys of whoever started us."""
    try:
        syscalls.join_new_session_keyring()
    except OSError:
        pass  # a kernel without keys, or a filter around us: there is none to be had


def _only_wake_up(number: int, frame: object) -> None:
    """A handler must be there for the wake-up descriptor to be written to."""


def _say_why(output: int, step: str, text: str) -> None:
    """In a child that cannot execute an aid: on its output, which its descriptors need not be yet (-1: they are)."""
    try:
        os.write(output if output >= 0 else 2, f"cannot {step}: {text}\n".encode())
    except OSError:
        pass


def _remove_patiently(leaf: list[str]) -> None:
    """A leaf whose last process is gone, or will be in a moment. Not every tree says so at the same time."""
    for _ in range(1000):
        if tree.remove(leaf):
            return
        time.sleep(0.001)


def _wait_status(code: int, status: int) -> int:
    """What waitpid would have said, from what waitid says."""
    if code == os.CLD_EXITED:
        return status << 8
    return status | (0x80 if code == os.CLD_DUMPED else 0)


def _kill_group(pid: int, number: int) -> None:
    """To a session leader's process group; it may be gone, and there may never have been one."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def main() -> None:
    """`keeper ROOT TASK_ID ISOLATED LOCK SOCKET SUPERVISOR READY FOLLOWER`.

    ISOLATED: empty for plain processes. Then descriptors (-1: none) and pids (0: none).
    """
    root, task_id, isolated = sys.argv[1:4]
    lock, socket, supervisor, ready, follower = map(int, sys.argv[4:9])
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2:  # ours, and what our caller had open: no process of the task gets it
            try:
                os.set_inheritable(fd, False)
            except OSError:
                pass  # the one that listed them
    if "THERMOS_FAULTS" in os.environ:
        from . import faults

        faults.install("keeper")
    status = Keeper(root, task_id, bool(isolated), lock, ready, follower).live(socket, supervisor)
    os._exit(status)  # nothing is buffered, and taking the interpreter down takes 5 ms
