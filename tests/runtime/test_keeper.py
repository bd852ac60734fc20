"""The keeper alone, with the test in the supervisor's place at the other end of its socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deadline import until

from sandbox.cgroups import tree
from thermos import paths
from thermos.checkpoint import lock
from thermos.runtime.identity import boot_id, ticks
from thermos.runtime.ledger import quote
from thermos.runtime.start import command
from thermos.runtime.wire import Wire

SPAWN = ["/bin/sh", "-c"]


class Kept:
    """A keeper and the other end of its socket."""

    def __init__(self, base: Path, group: dict[str, str]) -> None:
        self.base = base
        self.group = group
        self.directory = Path(paths.task_dir(str(base), "t"))
        self.sandbox = self.directory / "sandbox"
        self.sandbox.mkdir(parents=True, exist_ok=True)
        self.ledger = self.directory / paths.LEDGER
        self.messages: list[tuple[Any, ...]] = []
        self.fds: list[int] = []
        self.lock = os.open(self.directory / paths.LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        assert lock.take(self.lock)

    def start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        argv = command("keeper", self.base, "t", "", self.lock, theirs.fileno(), os.getpid(), -1, 0)
        self.process = subprocess.Popen(argv, pass_fds=(self.lock, theirs.fileno()), cwd="/")
        theirs.close()
        self.wire = Wire(ours.detach())

    def prepare(self) -> None:
        env = {"PATH": os.environ["PATH"]}
        order = {"group": self.group, "credentials": None, "directory": str(self.sandbox), "env": env, "oom": None}
        self.wire.send(("prepare", order))

    def greet(self) -> None:
        self.prepare()
        self.wire.send(("hello",))
        self.told("known")

    def spawn(self, process: int, script: str, run: int = 0) -> None:
        """By /bin/sh."""
        logs, leaf = f".logs/p{process}/{run}", f"p{process}.{run}"
        self.wire.send(("spawn", process, run, [*SPAWN, script], {"RUN": str(run)}, "", (logs, leaf, None, None)))

    def _listen(self) -> None:
        for message, fds in self.wire.receive():
            self.messages.append(message)
            self.fds += fds

    def told(self, name: str, *rest: object) -> tuple[Any, ...]:
        """The first message of that name that begins so. It is then forgotten."""

        def heard() -> tuple[Any, ...]:
            self._listen()
            for message in self.messages:
                if message[: len(rest) + 1] == (name, *rest):
                    self.messages.remove(message)
                    return message
            return ()

        return until(heard, f"no {name} {rest} among {self.messages}")

    def settled(self) -> list[tuple[Any, ...]]:
        """All that was told until the keeper has done everything that it was asked for."""
        self.wire.send(("spawn", 999, 0, ["/no/such"], {}, "", (".logs/last/0", "last.0", None, None)))
        self.told("never", 999)
        self.wire.send(("ack", 999, 0))
        told, self.messages = self.messages, []
        return told

    def lines(self, name: str) -> list[list[str]]:
        return [line.split(" ") for line in self.ledger.read_text().splitlines() if line.startswith(name + " ")]

    def replace(self) -> None:
        """Kill the keeper; another one has its ledger."""
        self.process.kill()
        self.process.wait()
        self.wire.close()
        self.messages.clear()
        self.start()

    def end(self) -> int:
        self.wire.send(("end", 0, ""))
        return self.process.wait(60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.end()
        self.wire.close()
        for fd in (self.lock, *self.fds):
            os.close(fd)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """Without cgroups: for every user."""
    kept = Kept(tmp_path, {})
    kept.start()
    yield kept
    kept.close()


@pytest.fixture
def grouped(tmp_path: Path) -> Iterator[Kept]:
    group = tree.make(f"test-{os.getpid()}-{tmp_path.name}")
    kept = Kept(tmp_path, group)
    kept.start()
    yield kept
    kept.close()
    until(lambda: tree.remove_tree(group))


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").exists()


def status(message: tuple[Any, ...]) -> tuple[int, str]:
    """(wait status, source) of `exited`."""
    return message[3], message[4]


# -- what it is asked for


def test_it_hands_over_the_lock_with_the_charge(kept: Kept) -> None:
    assert kept.told("charge") == ("charge", str(kept.base), "t")
    (fd,) = kept.fds
    assert lock.take(fd)  # the same open file: it is ours
    with open(kept.directory / paths.LOCK, "r+") as file:
        assert lock.held(file.fileno())


def test_a_run_is_started_told_and_ended(kept: Kept) -> None:
    kept.greet()
    kept.spawn(0, "echo run $RUN; exit 7")
    _, _, _, pid, began, _ = kept.told("started", 0, 0)
    assert status(kept.told("exited", 0, 0)) == (7 << 8, "waited")
    assert (kept.sandbox / ".logs/p0/0/stdout").read_text() == "run 0\n"
    assert [line[:6] for line in kept.lines("spawned")] == [["spawned", "0", "0", str(pid), str(began), "p0.0"]]


def test_asked_twice_for_a_run_it_starts_one(kept: Kept) -> None:
    kept.greet()
    kept.spawn(0, "echo x >> ran; sleep 1000")
    kept.spawn(0, "echo x >> ran; sleep 1000")
    first = kept.told("started", 0, 0)
    kept.spawn(0, "echo x >> ran; sleep 1000")
    assert kept.told("started", 0, 0) == first
    assert [message for message in kept.settled() if message[0] in ("started", "exited")] in ([], [first])
    assert (kept.sandbox / "ran").read_text() == "x\n"
    assert len(kept.lines("spawned")) == 2  # this one, and the one that settles


def test_asked_again_for_a_run_that_ended_it_tells_the_end_again(kept: Kept) -> None:
    kept.greet()
    kept.spawn(0, "echo x >> ran; exit 3")
    end = kept.told("exited", 0, 0)
    kept.spawn(0, "echo x >> ran; exit 3")
    assert kept.told("exited", 0, 0) == end
    assert (kept.sandbox / "ran").read_text() == "x\n"


def test_a_program_that_cannot_be_executed_never_was(kept: Kept) -> None:
    kept.greet()
    kept.wire.send(("spawn", 0, 0, ["/no/such"], {}, "", (".logs/p0/0", "p0.0", None, None)))
    assert kept.told("never", 0, 0)[3:6] == ("execute /no/such", 2, "No such file or directory")
    (never,) = kept.lines("never")
    assert never[:6] == ["never", "0", "0", "2", "execute%20/no/such", quote("No such file or directory")]
    assert [message for message in kept.settled() if message[0] in ("started", "exited")] == []


def test_a_signal_decided_on_once_is_sent_once(kept: Kept) -> None:
    kept.greet()
    script = "trap 'echo got >> got' USR1; echo up > up; while :; do sleep 0.01; done"
    kept.spawn(0, script)
    until(lambda: (kept.sandbox / "up").exists(), "it did not start")
    got = kept.sandbox / "got"
    for seq, count in ((5, 1), (6, 2), (5, 2), (6, 2), (7, 3)):
        kept.wire.send(("signal", seq, 0, 0, int(signal.SIGUSR1), False, "all", None))
        until(lambda count=count: got.exists() and got.read_text().count("got") >= count)
        assert got.read_text().count("got") == count
    kept.wire.send(("signal", 8, 0, 0, int(signal.SIGKILL), True, "all", None))
    assert status(kept.told("exited", 0, 0)) == (signal.SIGKILL, "waited")


def test_a_signal_to_a_run_it_does_not_know_is_none(kept: Kept) -> None:
    kept.greet()
    kept.spawn(0, "exit 0")
    kept.told("exited", 0, 0)
    kept.settled()
    kept.wire.send(("signal", 5, 0, 0, int(signal.SIGKILL), True, "all", None))
    kept.wire.send(("signal", 6, 0, 1, int(signal.SIGKILL), True, "all", None))
    kept.wire.send(("signal", 7, 5, 0, int(signal.SIGKILL), True, "all", None))
    assert kept.settled() == []
    assert kept.process.poll() is None


def test_its_own_signals_are_handed_on_until_they_are_heard(kept: Kept) -> None:
    kept.told("charge")
    kept.process.send_signal(signal.SIGTERM)
    kept.greet()
    assert kept.told("signal")[:2] == ("signal", signal.SIGTERM)
    kept.wire.send(("hello",))
    assert kept.told("signal")[:2] == ("signal", signal.SIGTERM)
    kept.wire.send(("heard",))
    kept.wire.send(("hello",))
    kept.told("known")
    kept.process.send_signal(signal.SIGINT)
    assert kept.told("signal")[:2] == ("signal", signal.SIGINT)


# -- what it remembers


def test_what_ended_before_anyone_asked_is_told_then(kept: Kept) -> None:
    kept.prepare()
    kept.spawn(0, "exit 9")
    until(lambda: kept.lines("exited") if kept.ledger.exists() else [], "nothing is in the ledger")
    kept.told("charge")
    kept.wire.send(("hello",))
    assert status(kept.told("exited", 0, 0)) == (9 << 8, "waited")


def test_an_exit_is_in_the_ledger_before_it_is_told(kept: Kept) -> None:
    kept.greet()
    for process in range(20):
        kept.spawn(process, f"exit {process}")
    for process in range(20):
        told = kept.told("exited", process)
        (line,) = [line for line in kept.lines("exited") if line[1] == str(process)]
        assert (int(line[3]), line[4]) == (told[3], told[4]) == (process << 8, "waited")


def test_what_is_acknowledged_is_forgotten(kept: Kept) -> None:
    kept.greet()
    for process in (0, 1):
        kept.spawn(process, "exit 0")
        kept.told("exited", process)
    kept.wire.send(("ack", 0, 0))
    kept.settled()
    kept.wire.send(("hello",))
    kept.told("known")
    assert {message[1] for message in kept.messages if message[0] == "exited"} == {1}


def test_what_still_runs_is_not_forgotten_by_an_acknowledgement(kept: Kept) -> None:
    kept.greet()
    kept.spawn(0, "sleep 1000")
    kept.told("started", 0)
    kept.wire.send(("ack", 0, 0))
    kept.wire.send(("hello",))
    kept.told("started", 0)


def test_the_ledger_does_not_grow_without_end(kept: Kept) -> None:
    kept.greet()
    kept.spawn(0, "sleep 1000")
    kept.told("started", 0)
    before = kept.ledger.stat().st_ino
    kept.process.send_signal(signal.SIGSTOP)
    with open(kept.ledger, "a") as file:  # as if by many runs
        file.write("exited 7 7 0 waited 0 0 0 1.0\n" * 10000)
    kept.process.send_signal(signal.SIGCONT)
    kept.replace()
    kept.greet()
    kept.told("started", 0)
    kept.settled()
    until(lambda: kept.ledger.stat().st_ino != before, "the ledger was not rewritten")
    assert kept.ledger.stat().st_size < 1000
    kept.replace()
    kept.greet()
    kept.told("started", 0)


# -- one keeper after another


def test_the_next_keeper_adopts_what_runs_and_knows_its_end(kept: Kept) -> None:
    kept.greet()
    kept.spawn(0, "while [ ! -e go ]; do sleep 0.01; done; exit 7")
    _, _, _, pid, began, _ = kept.told("started", 0)
    kept.replace()
    kept.greet()
    assert kept.told("started", 0)[3:5] == (pid, began)
    kept.spawn(0, "echo twice >> ran")
    (kept.sandbox / "go").touch()
    number, source = status(kept.told("exited", 0))
    assert (number, source in ("pidfd", "zombie")) == (7 << 8, True)
    assert not (kept.sandbox / "ran").exists()


def test_the_next_keeper_tells_the_ends_that_are_not_acknowledged(kept: Kept) -> None:
    kept.greet()
    kept.spawn(0, "exit 7")
    end = kept.told("exited", 0)
    kept.replace()
    kept.greet()
    assert kept.told("exited", 0)[:9] == end[:9]


def test_a_witness_knows_the_end_of_what_nobody_waited_for(kept: Kept) -> None:
    kept.greet()
    kept.fds.clear()
    kept.spawn(0, "while [ ! -e go ]; do sleep 0.01; done; exit 7")
    pid = kept.told("started", 0)[3]
    (pidfd,) = kept.fds
    kept.process.kill()
    kept.process.wait()
    (kept.sandbox / "go").touch()
    until(lambda: not Path(f"/proc/{pid}").exists(), "nobody reaped it")
    kept.wire.close()
    kept.start()
    kept.prepare()
    kept.wire.send(("witness", [(0, 0)]), (pidfd,))
    kept.wire.send(("hello",))
    if tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 15):
        assert status(kept.told("exited", 0)) == (7 << 8, "pidfd")
    else:
        assert status(kept.told("exited", 0)) == (-1, "unknown")


def test_without_a_witness_such_an_end_is_not_invented(kept: Kept) -> None:
    kept.greet()
    kept.spawn(0, "while [ ! -e go ]; do sleep 0.01; done; exit 7")
    pid = kept.told("started", 0)[3]
    kept.process.kill()
    kept.process.wait()
    (kept.sandbox / "go").touch()
    until(lambda: not Path(f"/proc/{pid}").exists(), "nobody reaped it")
    kept.wire.close()
    kept.start()
    kept.greet()
    assert status(kept.told("exited", 0)) == (-1, "unknown")


def ledger(kept: Kept, *lines: str) -> None:
    """Another keeper's ledger, in place of the one there is."""
    kept.process.kill()
    kept.process.wait()
    kept.wire.close()
    kept.ledger.write_text("".join(line + "\n" for line in lines))
    kept.start()


def test_what_was_forked_and_never_let_go_may_be_asked_for_again(kept: Kept) -> None:
    ledger(kept, f"boot {boot_id()}", "spawned 0 0 4000000 1 p0.0 f", f"never 0 0 0 wait {quote('died')} f")
    kept.greet()
    assert [message for message in kept.messages if message[0] != "charge" and message[1:2] == (0,)] == []
    kept.spawn(0, "exit 5")
    assert status(kept.told("exited", 0)) == (5 << 8, "waited")


def test_a_child_taken_for_running_that_then_executes_nothing_is_lost_not_forgotten(kept: Kept) -> None:
    """Its keeper died when it was on its way, and the next one found it alive."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
    began = ticks(child.pid)
    ledger(kept, f"boot {boot_id()}", f"spawned 0 0 {child.pid} {began} p0.0 f")
    kept.greet()
    kept.told("started", 0)
    with open(kept.ledger, "a") as file:
        file.write("never 0 0 2 execute%20/no/such No%20such%20file f\n")
    child.communicate("\n")
    end = kept.told("exited", 0)
    assert status(end) == (-1, "unknown")
    assert end[-1] == "it executed nothing: cannot execute /no/such: No such file"


def test_a_process_that_has_the_number_of_one_that_ended_is_let_alone(kept: Kept) -> None:
    """RC-7, by decision 7: the start time in clock ticks of this boot, exactly; no user, no wall clock."""
    with subprocess.Popen(["/bin/sleep", "1000"]) as other:
        began = ticks(other.pid)
        assert began is not None
        ledger(kept, f"boot {boot_id()}", f"spawned 0 0 {other.pid} {began - 1} p0.0 f")
        kept.greet()
        assert status(kept.told("exited", 0)) == (-1, "unknown")
        assert kept.end() == 0
        assert other.poll() is None
        other.kill()


def test_of_an_earlier_boot_nothing_lives(kept: Kept) -> None:
    """RC-7: pid and start time say nothing about another boot."""
    with subprocess.Popen(["/bin/sleep", "1000"]) as other:
        ledger(kept, "boot another", f"spawned 0 0 {other.pid} {ticks(other.pid)} p0.0 f")
        kept.greet()
        assert [message for message in kept.messages if message[0] == "started"] == []
        assert kept.end() == 0
        assert other.poll() is None
        other.kill()


def test_lines_that_make_no_sense_are_passed_over(kept: Kept) -> None:
    garbage = ("exited 0 0 9 waitednever 1 0 2 x y", "spawned 3", "spawned a b c d e", "nothing", "exited 1 2 3")
    ledger(kept, f"boot {boot_id()}", *garbage, "spawned 5 0 4000000 1 p5.0 f")
    kept.greet()
    assert status(kept.told("exited", 5)) == (-1, "unknown")


# -- nothing outlives its run


@pytest.mark.root
def test_what_a_run_leaves_behind_is_killed_and_then_its_group_is_gone(grouped: Kept) -> None:
    grouped.greet()
    deaf = "trap '' TERM HUP; echo \\$\\$ > left; while :; do sleep 1000; done"
    grouped.spawn(0, f'(setsid sh -c "{deaf}" &); while [ ! -e go ]; do sleep 0.01; done; exit 4')
    left = int(until(lambda: (grouped.sandbox / "left").exists() and (grouped.sandbox / "left").read_text()))
    (grouped.sandbox / "go").touch()
    end = grouped.told("exited", 0)
    assert status(end) == (4 << 8, "waited")
    if end[8]:
        grouped.told("emptied", 0)
    until(lambda: not alive(left), "what it left behind is alive")
    until(lambda: not any(os.path.exists(path) for path in tree.directories(grouped.group, "p0.0")))


@pytest.mark.root
def test_what_an_adopted_run_leaves_behind_is_killed_too(grouped: Kept) -> None:
    grouped.greet()
    grouped.spawn(0, "setsid sleep 1000 & echo $! > left; while [ ! -e go ]; do sleep 0.01; done")
    left = int(until(lambda: (grouped.sandbox / "left").exists() and (grouped.sandbox / "left").read_text()))
    grouped.told("started", 0)
    grouped.replace()
    grouped.greet()
    assert alive(left)
    (grouped.sandbox / "go").touch()
    grouped.told("exited", 0)
    until(lambda: not alive(left), "what it left behind is alive")


@pytest.mark.root
def test_at_the_end_nothing_is_left(grouped: Kept) -> None:
    grouped.greet()
    for process in range(5):
        grouped.spawn(process, "trap '' TERM; setsid sleep 1000 & while :; do sleep 1000; done")
    pids = [grouped.told("started", process)[3] for process in range(5)]
    assert grouped.end() == 0
    assert [pid for pid in pids if alive(pid)] == []
    assert [path for path in grouped.group.values() if os.path.exists(path)] == []


def test_a_supervisor_that_goes_away_takes_nothing_with_it(kept: Kept) -> None:
    """The socket closes; that the supervisor is dead is another matter, and for its pidfd to say."""
    kept.greet()
    kept.spawn(0, "sleep 1000")
    pid = kept.told("started", 0)[3]
    kept.wire.close()
    assert kept.process.poll() is None
    assert alive(pid)
    kept.process.kill()
    kept.process.wait()
    kept.start()
    kept.greet()
    assert kept.told("started", 0)[3] == pid


def test_what_another_child_for_the_same_run_wrote_late_does_not_count(kept: Kept) -> None:
    """It outlived its keeper for a moment, and wrote after the next keeper's child had been let go."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
    began = ticks(child.pid)
    ledger(
        kept, f"boot {boot_id()}", f"spawned 0 0 {child.pid} {began} p0.0 new", f"never 0 0 0 wait {quote('died')} old"
    )
    kept.greet()
    assert kept.told("started", 0, 0)[3] == child.pid
    child.communicate("\n")
    assert kept.told("exited", 0, 0)
