"""The world as the supervisor sees it: the keeper, the control socket, the clock.

`perform` carries an effect out; `wait` brings what came of it, and what else happened, as records.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import signal
import struct
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from thermos import paths
from thermos.core.effects import Effect, End, Freeze, Launch, Limit, Signal, Thaw
from thermos.core.records import (
    Emptied,
    Exceeded,
    Exited,
    KillRequested,
    Paused,
    Record,
    Refused,
    Sandboxed,
    Signalled,
    Started,
    Unpaused,
    Updated,
    UpdateRequested,
)
from thermos.core.state import EXIT_STATUS, State
from thermos.core.task import Accepted, Isolation, Resources

from . import clock, identity, start
from .wire import MOST_FDS, Closed, Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .disk_watch import DiskWatch
    from .ground import Errand
    from .probing import Probes

#: A keeper that lived for so many seconds was not young; after so many young ones wait before the next, and how long
#: at most.
_OLD, _YOUNG, _PATIENT = 10.0, 5, 5.0

#: Seconds that a kill may be asked to wait at most: as far as a task file goes.
_LONGEST = 1e9

#: Seconds between two attempts at starting a keeper, where the host cannot give another process.
_PATIENCE = 1.0

_BASH = ("/bin/bash", "-c")

_UCRED = struct.Struct("3i")  # struct ucred: pid, uid, gid


class World:
    def __init__(self, keeper: int) -> None:
        self._wire = Wire(keeper)
        self.root = ""
        self.task_id = ""
        self.boot_id = identity.boot_id()
        self.epoch = 0.0
        self.known: set[tuple[int, int]] = set()  # runs the keeper knows of
        self._lock = -1
        self._pidfds: dict[tuple[int, int], int] = {}  # ours, should the keeper die
        self._poll = select.poll()
        self._control: _socket.socket | None = None
        self._keeper_since = 0.0
        self._young = 0  # keepers in a row that died soon
        self._clients: dict[int, _socket.socket] = {}
        self._accepted: Accepted
        self._state: State
        self.all_told = False
        self._durable = False
        self._aids = 0
        self._probes: Probes | None = None  # where the task has health checks, or waits for lines of output
        self._held: dict[tuple[int, int], Exited] = {}  # ends of runs whose output is still being read
        self._news: list[Record] = []  # what came of effects that we carry out ourselves
        self._disk: DiskWatch | None = None  # where the task has a limit of disk space

    # -- beginning

    def charged(self) -> bool:
        """Wait until the keeper says which task it is. False: it went away instead."""
        poll = select.poll()
        poll.register(self._wire.fileno(), select.POLLIN)
        while True:
            poll.poll()
            try:
                messages = self._wire.receive()
            except Closed:
                return False
            for message, fds in messages:
                if message[0] == "charge":
                    self.root, self.task_id = message[1:]
                    (self._lock,) = fds
                    return True

    def take_charge(self, accepted: Accepted, state: State) -> None:
        """Listen to requests, and set the clock: the journal's offset, if it knows one for this boot."""
        self.epoch = state.epoch if state.boot_id == self.boot_id else clock.fresh_epoch(state.at)
        self._accepted, self._state = accepted, state
        self._poll.register(self._wire.fileno(), select.POLLIN)
        self.listen()
        if any(process.health for process in accepted.task.processes) or state.graph.milestones:
            from . import probing  # few tasks need it

            self._probes = probing.Probes(self, accepted, state)
            self._poll.register(self._probes.fileno(), select.POLLIN)
        if accepted.task.resources.disk is not None and accepted.isolation_mode != "none" and not state.ended:
            from . import disk_watch

            self._disk = disk_watch.DiskWatch(self.root, accepted)
            self._poll.register(self._disk.fileno(), select.POLLIN)

    def make_durable(self) -> None:
        """What was accepted survives a power cut from here on, and whoever waits for that is told."""
        if self._durable:
            return
        directory = paths.task_dir(self.root, self.task_id)
        inside = [f"{directory}/{name}" for name in (paths.ACCEPTED, paths.SETTING, paths.CHANGES)]
        for path in (*inside, directory, os.path.dirname(directory)):
            try:
                fd = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue  # plain processes have no setting, and the host's files no changes
            os.fsync(fd)
            os.close(fd)
        self._wire.send(("durable",))
        self._durable = True

    def greet(self) -> None:
        """Tell the keeper what it needs to know; it answers with all that it knows, and then `all_told` is set."""
        accepted = self._accepted
        mine = (os.geteuid(), os.getegid(), tuple(os.getgroups()))
        wanted = (accepted.uid, accepted.gid, accepted.groups)
        self._wire.send(
            (
                "prepare",
                {
                    "group": accepted.cgroups,
                    "credentials": wanted if wanted != mine and os.geteuid() == 0 else None,
                    "directory": accepted.sandbox,
                    "env": accepted.env,
                    "oom": accepted.task.resources.oom,
                },
            )
        )
        held = list(self._pidfds.items())
        for first in range(0, len(held), MOST_FDS):
            some = held[first : first + MOST_FDS]
            self._wire.send(("witness", [key for key, _ in some]), [fd for _, fd in some])
        self.all_told = False
        self._wire.send(("hello",))
        if self._durable:
            self._wire.send(("durable",))

    def _sandbox(self) -> str:
        """The directory to make namespaces around; none where they are not wanted, or not any more."""
        wanted = self._accepted.isolation_mode != "none" and not self._state.ended
        return self._accepted.sandbox if wanted else ""

    # -- the clock

    def now(self) -> float:
        return clock.since_boot() + self.epoch

    # -- effects

    def perform(self, effect: Effect) -> None:
        """Have it done. Twice is no more than once: the keeper sees to that."""
        match effect:
            case Launch():
                self._launch(effect.process, effect.run)
            case Signal():
                self._signal(effect)
            case Freeze():
                self._freeze(still=True)
            case Thaw():
                self._freeze(still=False)
            case Limit():
                self._limit(effect)
            case End():
                self._end()

    def _launch(self, process: int, run: int) -> None:
        definition = self._accepted.task.processes[process]
        argv = list(definition.argv) if definition.argv else [*_BASH, definition.cmdline or ""]
        self._wire.send(("spawn", process, run, argv, *self._surroundings(process, run), self._place(process, run)))

    def _signal(self, effect: Signal) -> None:
        stop = self._accepted.task.processes[effect.process].stop
        key = (effect.process, effect.run)
        command = None
        if stop.command is not None and effect.stop and effect.signal != signal.SIGKILL:
            command = ([*_BASH, stop.command], *self._surroundings(*key), self._place(*key))
        to = stop.to if effect.stop else "group"
        self._wire.send(("signal", effect.cause, *key, effect.signal, effect.stop, to, command))

    def _freeze(self, still: bool) -> None:
        from sandbox.cgroups import freezer

        try:
            (freezer.freeze if still else freezer.thaw)(self._accepted.cgroups)
        except (freezer.CannotFreeze, OSError):
            pass  # it has no group any more: its end is under way

    def _limit(self, effect: Limit) -> None:
        from . import limits

        name, number = "", -1
        if effect.process is not None:
            name = self._accepted.task.processes[effect.process].name
            run = self._state.processes[effect.process].run
            number = run.number if run is not None and run.state in ("FORKED", "RUNNING") else -1
        rows = limits.change(self._accepted.cgroups, effect.limits, name, number)
        refused = {limits.field_of(row["what"]).split(" ")[0] for row in rows if row["got"] is None}
        holds = {field: value for field, value in effect.limits.items() if f"resources.{field}" not in refused}
        told = msgspec.convert(rows, tuple[Isolation, ...])
        self._news.append(Updated(at=self.now(), cause=effect.cause, limits=holds, rows=told, process=effect.process))

    def aid(self, process: int, run: int, argv: list[str], output: int) -> int:
        """Have a command executed beside a run, its output to a descriptor. Returns its number; see `on_aided`."""
        self._aids += 1
        message = ("aid", self._aids, process, run, argv, *self._surroundings(process, run), self._place(process, run))
        self._wire.send(message, (output,))
        return self._aids

    def unaid(self, number: int) -> None:
        """Nobody waits for that command any more."""
        self._wire.send(("unaid", number))

    def expect(self, next_run: tuple[int, int] | None) -> None:
        """A run that will probably be launched soon. The keeper may use the time until then."""
        if next_run is not None:
            self._wire.send(("expect", *next_run, self._place(*next_run)))

    def _surroundings(self, process: int, run: int) -> tuple[dict[str, str], str]:
        """A run's environment, over what all runs have, and its working directory."""
        accepted = self._accepted
        definition = accepted.task.processes[process]
        env = {"THERMOS_PROCESS": definition.name, "THERMOS_RUN": str(run)}
        if definition.env:
            ours = {name: value for name, value in accepted.env.items() if name.startswith("THERMOS_")}
            env = {**definition.env, **ours, **env}
        if definition.user is not None:
            env = {"USER": definition.user, "LOGNAME": definition.user, **env}
        return env, definition.cwd or ""

    def _place(self, process: int, run: int) -> tuple[object, ...]:
        """A run's logs, its cgroup's name, its own user and its own limits."""
        definition = self._accepted.task.processes[process]
        name = definition.name
        credentials = None
        if definition.user is not None and os.geteuid() == 0:  # anybody else could only name themselves
            credentials = self._accepted.users[definition.user]
        return paths.run_logs(name, run), paths.leaf_name(name, run), credentials, self._limits(process)

    def _limits(self, process: int) -> dict[str, Any] | None:
        """Limits of a run's own, less those that could not be had when the task was accepted."""
        definition, resources = self._accepted.task.processes[process], self._accepted.task.resources
        changed = self._state.limits.get(process)
        if definition.resources is None and not changed and resources.oom != "run":
            return None
        from . import limits

        known = {row.what: row.got is not None for row in self._accepted.isolation}
        wanted: dict[str, Any] = {"oom": "group"} if resources.oom == "run" and known.get("oom", True) else {}
        if definition.resources is not None:
            own = limits.of(limits.said(msgspec.structs.asdict(definition.resources)))
            wanted |= {what: value for what, value in own.items() if known.get(f"{what} of {definition.name}", True)}
        return wanted | limits.of(changed or {})

    def _end(self) -> None:
        state = self._state
        directory = paths.task_dir(self.root, self.task_id)
        if self._accepted.ports:
            from .accept import release_ports  # it brings json, and most tasks hold none

            release_ports(self.root, self.task_id, self._accepted.ports)
        try:
            os.unlink(f"{directory}/{paths.CONTROL}")
        except FileNotFoundError:
            pass
        if self._disk is not None:
            self._close_disk(self._disk)
        assert state.stage is not None
        text = f"{self.task_id}: {state.stage}: {state.reason}"
        self._wire.send(("end", EXIT_STATUS[state.stage], text, self._errands()))
        while self._wire.wants_write:
            select.select([], [self._wire.fileno()], [])
            self._wire.flush()

    def _errands(self) -> list[Errand]:
        """What is to be done when nothing of the task lives any more, and the kernel does not do."""
        from . import ground

        return ground.errands(self.root, self._accepted) if ground.wanted(self._accepted) else []

    # -- what happens

    def wait(self, wake_at: float | None) -> Iterator[Record]:
        """Until something happens, or `wake_at`. What happened, as records, each of which fits the state as it is
        once the one before it has been folded in."""
        if self._news:
            yield from self._take_news()
            return
        if self._probes is not None:
            wake_at = self._probes.wake_by(wake_at)
        timeout = None if wake_at is None else max((wake_at - self.now()) * 1000, 0) + 0.5
        if self._wire.wants_write:
            self._poll.modify(self._wire.fileno(), select.POLLIN | select.POLLOUT)
        for fd, events in self._poll.poll(timeout):
            if fd == self._wire.fileno():
                if events & select.POLLOUT:
                    self._wire.flush()
                    if not self._wire.wants_write:
                        self._poll.modify(fd, select.POLLIN)
                yield from self._from_keeper()
            elif self._control is not None and fd == self._control.fileno():
                self._accept_client(self._control)
            elif self._probes is not None and fd == self._probes.fileno():
                pass
            elif self._disk is not None and fd == self._disk.fileno():
                yield from self._from_disk(self._disk)
            else:
                yield from self._from_client(fd)
        if self._probes is not None:
            yield from self._probes.news()
            yield from self._let_go(self._probes)

    def _from_disk(self, disk: DiskWatch) -> Iterator[Record]:
        reached, over = disk.hear()
        if reached and not self._state.exceeded:
            yield Exceeded(at=self.now(), why=reached)
        if not over:
            return
        self._close_disk(disk)
        if reached:
            return
        self._disk = disk.another()
        if self._disk is not None:
            self._poll.register(self._disk.fileno(), select.POLLIN)
            return
        rows = msgspec.convert([disk.row("the program that watches it ends at once")], tuple[Isolation, ...])
        yield Updated(at=self.now(), limits={}, rows=rows)

    def _close_disk(self, disk: DiskWatch) -> None:
        self._poll.unregister(disk.fileno())
        disk.close()
        self._disk = None

    def _take_news(self) -> list[Record]:
        news, self._news = self._news, []
        return news

    def _from_keeper(self) -> Iterator[Record]:
        try:
            messages = self._wire.receive()
        except Closed:
            self._new_keeper()
            return
        for (name, *rest), fds in messages:
            if name == "aided":
                if self._probes is not None:
                    self._probes.on_aided(*rest)
                continue
            record = self._record(name, rest, fds)
            if record is not None and not self._hold_back(record):
                yield record

    def _hold_back(self, record: Record) -> bool:
        """The end of a run whose output is still being read: first what it wrote, then that it has ended."""
        if self._probes is None or not isinstance(record, Exited):
            return False
        if not self._probes.reads(record.process, record.run):
            return False
        self._held[record.process, record.run] = record
        return True

    def _let_go(self, probes: Probes) -> Iterator[Record]:
        """The ends of those runs whose output has been read to its end."""
        for key, record in list(self._held.items()):
            if not probes.reads(*key):
                del self._held[key]
                if self._run_state(*key) in ("FORKED", "RUNNING"):  # else it was given up meanwhile
                    yield record

    def _record(self, name: str, rest: list[Any], fds: tuple[int, ...]) -> Record | None:
        """One message as a record; None where it is no news."""
        match name:
            case "started":
                process, run, pid, ticks, at = rest
                self.known.add((process, run))
                if fds:
                    self._hold((process, run), fds[0])
                if self._run_state(process, run) != "FORKED":
                    return None
                return Started(at=at + self.epoch, process=process, run=run, pid=pid, ticks=ticks)
            case "never":
                process, run, step, number, text, at = rest
                self.known.add((process, run))
                if self._run_state(process, run) != "FORKED":
                    self._wire.send(("ack", process, run))
                    return None
                return Refused(at=at + self.epoch, process=process, run=run, step=step, errno=number, message=text)
            case "exited":
                return self._exit_record(rest)
            case "emptied":
                process, run, at = rest
                held = self._held.get((process, run))
                if held is not None:
                    self._held[process, run] = msgspec.structs.replace(held, lingers=False)
                    return None
                return Emptied(at=at + self.epoch, process=process, run=run) if self._lingers(process, run) else None
            case "prepared":
                init, got, missing = rest
                if got is False or (init is None and not missing):
                    return None  # it is not wanted
                if (init, got, missing) == (self._state.init, self._state.got, self._state.missing):
                    return None  # an earlier keeper made it, or has told an earlier supervisor
                return Sandboxed(at=self.now(), init=init, got=got, missing=missing)
            case "signal":
                number, at = rest
                if at + self.epoch <= self._state.heard_at:
                    self._wire.send(("heard",))  # the supervisor before was killed before it could say so
                    return None
                return KillRequested(at=self.now(), by=signal.Signals(number).name, heard_at=at + self.epoch)
            case "charge":  # a keeper that we started ourselves
                for fd in fds:
                    os.close(fd)
                return None
            case "known":
                self.all_told = True
                return None
            case _:
                raise AssertionError(name)

    def _exit_record(self, rest: list[Any]) -> Record | None:
        process, run, status, source, oom, cpu, memory, lingers, at, why = rest
        self.known.add((process, run))
        state = self._run_state(process, run)
        if state not in ("FORKED", "RUNNING"):
            if self._lingers(process, run) and not lingers:
                return Emptied(at=self.now(), process=process, run=run)
            self._wire.send(("ack", process, run))
            return None
        unknown = status < 0
        return Exited(
            at=at + self.epoch,
            process=process,
            run=run,
            source=source,
            code=None if unknown or os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status),
            signal=os.WTERMSIG(status) if not unknown and os.WIFSIGNALED(status) else None,
            core=not unknown and os.WIFSIGNALED(status) and os.WCOREDUMP(status),
            oom=oom > 0,
            cpu=None if cpu < 0 else cpu / 1e9,
            memory=None if memory < 0 else memory,
            lingers=lingers,
            why=why,
        )

    def _run_state(self, process: int, number: int) -> str | None:
        run = self._state.processes[process].run
        return run.state if run is not None and run.number == number else None

    def _lingers(self, process: int, number: int) -> bool:
        run = self._state.processes[process].run
        return run is not None and run.number == number and run.lingers

    def acknowledge(self, record: Record) -> None:
        """It is in the journal: the keeper need not remember it."""
        if isinstance(record, KillRequested) and record.heard_at is not None:
            self._wire.send(("heard",))
        if isinstance(record, Started) and (changed := self._state.limits.get(record.process)):
            from . import limits  # the old ones may have been on their way to the keeper when they were changed

            name = self._accepted.task.processes[record.process].name
            limits.change(self._accepted.cgroups, changed, name, record.run)
        if self._probes is not None:
            if isinstance(record, Started):
                self._probes.begin(record.process, record.run)
            elif isinstance(record, Exited):
                self._probes.end(record.process, record.run)
        if isinstance(record, Refused | Emptied) or (isinstance(record, Exited) and not record.lingers):
            self._wire.send(("ack", record.process, record.run))
            self.known.discard((record.process, record.run))
        if isinstance(record, Refused | Exited):
            fd = self._pidfds.pop((record.process, record.run), None)
            if fd is not None:
                os.close(fd)

    def look_after_all(self) -> None:
        """Every run that lives is checked and read again: a new supervisor, or a new keeper."""
        if self._disk is not None and "disk" not in self._state.rows:
            rows = msgspec.convert([self._disk.row()], tuple[Isolation, ...])
            self._news.append(Updated(at=self.now(), limits={}, rows=rows))
        if self._probes is not None:
            self._probes.begin_all()

    def _hold(self, key: tuple[int, int], pidfd: int) -> None:
        old = self._pidfds.pop(key, None)
        if old is not None:
            os.close(old)
        self._pidfds[key] = pidfd

    def _new_keeper(self) -> None:
        """The keeper died. Its children live; start another one, which gets the pidfds we hold."""
        self._poll.unregister(self._wire.fileno())
        self._wire.close()
        self._young = self._young + 1 if self.now() < self._keeper_since + _OLD else 0
        if self._young > _YOUNG:
            time.sleep(min(0.05 * 2 ** min(self._young - _YOUNG, 10), _PATIENT))
        self._keeper_since = self.now()
        self.known.clear()  # it tells what it knows
        self._held.clear()
        if self._probes is not None:
            self._probes.forget_aids()
        self._wire = Wire(self._start_keeper())
        self._poll.register(self._wire.fileno(), select.POLLIN)
        self.greet()

    def _start_keeper(self) -> int:
        while True:
            try:
                return start.start_keeper(self.root, self.task_id, self._sandbox(), self._lock, os.getpid())
            except OSError:  # no pid, no memory, no descriptor: and without hands there is nothing else to do
                time.sleep(_PATIENCE)

    # -- requests

    @property
    def deaf(self) -> bool:
        """Nobody can ask for anything, for want of room."""
        return self._control is None

    def listen(self) -> None:
        """To requests, unless we do already. On a full disk that may have to wait until there is room."""
        if not self.deaf:
            return
        fd, path = paths.control_address(paths.task_dir(self.root, self.task_id))
        control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        control.setblocking(False)
        try:
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            control.bind(path)
        except OSError as error:
            control.close()
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return
        finally:
            os.close(fd)
        control.listen(16)
        self._control = control
        self._poll.register(control.fileno(), select.POLLIN)

    def _accept_client(self, listener: Any) -> None:
        try:
            client = _socket.socket(fileno=listener._accept()[0])  # what `socket` wraps: 7 ms of the start
        except OSError:
            return
        client.setblocking(False)
        self._clients[client.fileno()] = client
        self._poll.register(client.fileno(), select.POLLIN)

    def _from_client(self, fd: int) -> Iterator[Record]:
        """A request. It is answered when what it asks for is in the journal, which it is once we are resumed."""
        client = self._clients.pop(fd)
        self._poll.unregister(fd)
        try:
            text = client.recv(1 << 16)
            answer, records = self._request(text, _UCRED.unpack(_credentials(client)))
            yield from records
            for record in self._take_news():
                yield record
                if isinstance(record, Updated):
                    answer["rows"] = record.rows
            client.send(msgspec.json.encode(answer))
        except OSError:
            pass  # it went away without asking, or without waiting for the answer
        finally:
            client.close()

    def _request(self, text: bytes, peer: tuple[int, ...]) -> tuple[dict[str, object], list[Record]]:
        pid, uid, _ = peer
        if not _is_of_the_host(pid):
            return {"ok": False, "why": "nobody inside a sandbox may"}, []
        if uid not in (0, os.geteuid()):
            return {"ok": False, "why": f"user {uid} may not: the task belongs to user {os.geteuid()}"}, []
        try:
            asked = msgspec.json.decode(text)
            name = asked["request"]
            if name == "kill":
                wait = None if asked.get("wait") is None else float(asked["wait"])
                if wait is not None and not 0 <= wait <= _LONGEST:
                    return {"ok": False, "why": f"nobody waits for {wait:g} seconds"}, []
                by = f"process {pid} of user {uid}"
                return {"ok": True}, [KillRequested(at=self.now(), by=by, wait=wait, force=bool(asked.get("force")))]
            if name == "signal":
                return self._signal_request(str(asked["process"]), int(asked["signal"]))
            if name in ("pause", "unpause"):
                return self._pause_request(name == "pause", f"process {pid} of user {uid}")
            if name == "update":
                return self._update_request(asked["limits"], asked.get("process"), f"process {pid} of user {uid}")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            pass
        return {"ok": False, "why": "cannot understand the request"}, []

    def _pause_request(self, pause: bool, by: str) -> tuple[dict[str, object], list[Record]]:
        if bool(self._state.paused_at) == pause:
            return {"ok": True}, []
        if not pause:
            return {"ok": True}, [Unpaused(at=self.now(), by=by)]
        if self._state.stage != "ACTIVE" or self._state.kill_at is not None:
            return {"ok": False, "why": "the task is ending"}, []
        from sandbox.cgroups import freezer

        try:
            freezer.frozen(self._accepted.cgroups)
        except (freezer.CannotFreeze, OSError) as error:
            return {"ok": False, "why": str(error)}, []
        return {"ok": True}, [Paused(at=self.now(), by=by)]

    def _update_request(
        self, wanted: dict[str, Any], name: str | None, by: str
    ) -> tuple[dict[str, object], list[Record]]:
        from . import limits

        unknown = [field for field in wanted if field not in limits.FIELDS]
        if unknown or not wanted:
            return {"ok": False, "why": f"there is no limit {', '.join(unknown) or 'to change'}"}, []
        msgspec.convert({field: value for field, value in wanted.items() if value is not None}, Resources)
        wrong = limits.wrong(wanted)
        if wrong:
            return {"ok": False, "why": wrong}, []
        if self._state.ended:
            return {"ok": False, "why": "the task has ended"}, []
        if not self._accepted.cgroups:
            return {"ok": False, "why": "it has no cgroup that limits could be set of"}, []
        process = None
        if name is not None:
            process = next((n for n, p in enumerate(self._accepted.task.processes) if p.name == name), None)
            if process is None:
                return {"ok": False, "why": f"the task has no process {name}"}, []
        return {"ok": True}, [UpdateRequested(at=self.now(), by=by, limits=wanted, process=process)]

    def _signal_request(self, name: str, number: int) -> tuple[dict[str, object], list[Record]]:
        if number not in signal.valid_signals():
            return {"ok": False, "why": f"there is no signal {number}"}, []
        for process, definition in enumerate(self._accepted.task.processes):
            if definition.name == name:
                run = self._state.processes[process].run
                if run is None or run.state != "RUNNING":
                    return {"ok": False, "why": f"process {name} is not running"}, []
                record = Signalled(at=self.now(), process=process, run=run.number, signal=number, stop=False)
                return {"ok": True}, [record]
        return {"ok": False, "why": f"the task has no process {name}"}, []


def _is_of_the_host(pid: int) -> bool:
    """Whether who asks is not in a pid namespace below ours, as tasks are: a socket can be seen where it should not."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return os.geteuid() != 0  # of another user's process only root sees that


def _credentials(client: _socket.socket) -> bytes:
    return client.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _UCRED.size)
