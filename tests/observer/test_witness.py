"""An observer keeps a pidfd of what runs, and gives it to those who may have it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from tasks_on_disk import THEN, TaskOnDisk, exited, over, process, put_task

from observer.tasks import Observed, Tasks
from observer.witness import Witness
from sandbox import syscalls
from thermos import paths
from thermos.core import records as r
from thermos.core.records import Record
from thermos.runtime import witness as asking
from thermos.runtime.identity import boot_id, ticks

#: Older kernels do not tell the status of a reaped process.
TELLS = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 15)
SEVEN = 7 << 8 if TELLS else None
NAMESPACE = os.stat("/proc/self/ns/pid").st_ino


class Child:
    """A process that exits with 7 when it is told to."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(["/bin/sh", "-c", "read line || exit 7"], stdin=subprocess.PIPE)
        self.pid = self._process.pid
        self.ticks = ticks(self.pid) or 0

    def end(self) -> None:
        """It has ended, and was reaped, when this returns."""
        self.become_zombie()
        self._process.wait()

    def become_zombie(self) -> None:
        if self._process.poll() is not None:
            return
        assert self._process.stdin
        self._process.stdin.close()
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.end()


def begun(boot: str | None = None) -> list[Record]:
    return [
        r.Supervised(at=THEN, boot_id=boot or boot_id(), pid=1, epoch=0.0),
        r.StageEntered(at=THEN, stage="ACTIVE", reason="the task was accepted"),
    ]


def started(child: Child, run: int = 0, number: int = 0) -> list[Record]:
    return [
        r.Launched(at=THEN, process=number, run=run),
        r.Started(at=THEN, process=number, run=run, pid=child.pid, ticks=child.ticks),
    ]


class Watched:
    """A root that is followed in this process, and a client."""

    def __init__(self, root: str, most: int) -> None:
        self.root = root
        self.witness = Witness(most)
        self.tasks = Tasks([root], self.witness.forget, self.witness.see)

    def news(self) -> None:
        """Wait until inotify has something to say, and take it in."""
        assert select.select([self.tasks], [], [], 10)[0], "nothing woke the observer"
        self.tasks.catch_up()

    def says(self, question: str) -> tuple[bytes, list[int]]:
        """The answer, and descriptors beside it. An empty one: the connection was closed."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as client:
            client.connect(str(sockets(self.root)[0]))
            client.send(question.encode())
            while select.select([self.witness], [], [], 0)[0]:
                self.witness.answer()
            answer, fds, _, _ = socket.recv_fds(client, 16, 4)
            return answer, fds

    def status(self, child: Child, task_id: str = "t1") -> int | str | None:
        """The wait status that the answer leads to; the answer where that was no."""
        answer, fds = self.says(f"{task_id} {child.pid} {child.ticks} {NAMESPACE}")
        if not fds:
            return answer.decode()
        status = syscalls.pidfd_exit_status(fds[0])
        os.close(fds[0])
        return status

    def close(self) -> None:
        self.tasks.close()
        self.witness.close()


def sockets(root: str) -> list[Path]:
    return sorted(Path(root).glob(f"{paths.WITNESS}*"))


Watch = Callable[..., Watched]


@pytest.fixture
def watch(root: str) -> Iterator[Watch]:
    watched: list[Watched] = []

    def begin(most: int = 100) -> Watched:
        watched.append(Watched(root, most))
        return watched[-1]

    yield begin
    for each in watched:
        each.close()


def held(pid: int, of: int | str = "self") -> int:
    """How many pidfds of a process another one has."""
    count = 0
    for entry in Path(f"/proc/{of}/fdinfo").iterdir():
        try:
            count += f"\nPid:\t{pid}\n" in entry.read_text()
        except OSError:
            continue  # the one that listed them
    return count


# -- what is held


def test_how_a_process_ended_is_known_after_it_was_reaped(root: str, watch: Watch, child: Child) -> None:
    task = put_task(root, "t1", records=begun())
    watched = watch()
    task.append(*started(child))
    watched.news()
    child.end()
    assert watched.status(child) == SEVEN


def test_a_run_that_started_before_the_observer_is_held(root: str, watch: Watch, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    watched = watch()
    child.end()
    assert watched.status(child) == SEVEN


def test_a_zombie_is_still_held(root: str, watch: Watch, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    child.become_zombie()
    watched = watch()
    child.end()
    assert watched.status(child) == SEVEN


def test_of_a_process_that_was_gone_before_nothing_is_known(root: str, watch: Watch, child: Child) -> None:
    other = Child()
    put_task(root, "t1", [process("web"), process("other")], begun() + started(child) + started(other, number=1))
    child.end()
    watched = watch()
    assert watched.status(child) == "no"
    other.end()
    assert watched.status(other) == SEVEN


def test_another_process_with_its_number_is_not_taken_for_it(root: str, watch: Watch, child: Child) -> None:
    other = Child()
    reused: list[Record] = [
        r.Launched(at=THEN, process=1, run=0),
        r.Started(at=THEN, process=1, run=0, pid=other.pid, ticks=other.ticks - 1),
    ]
    put_task(root, "t1", [process("web"), process("other")], begun() + started(child) + reused)
    watched = watch()
    assert held(other.pid) == 0
    other.end()
    assert watched.status(other) == "no"
    other.ticks -= 1
    assert watched.status(other) == "no"


def test_nothing_of_an_earlier_boot_is_held(root: str, watch: Watch, child: Child) -> None:
    put_task(root, "t1", records=begun("of-an-earlier-boot") + started(child))
    watch()
    assert held(child.pid) == 0
    assert sockets(root) == []


def test_a_run_that_was_asked_to_stop_is_held(root: str, watch: Watch, child: Child) -> None:
    asked = r.Signalled(at=THEN, process=0, run=0, signal=signal.SIGTERM)
    task = put_task(root, "t1", records=begun() + started(child))
    watched = watch()
    task.append(asked)
    watched.news()
    assert held(child.pid) == 1
    task.append(r.Signalled(at=THEN, process=0, run=0, signal=signal.SIGKILL))
    watched.news()
    assert held(child.pid) == 1


def test_it_is_let_go_when_the_journal_tells_the_end(root: str, watch: Watch, child: Child) -> None:
    other = Child()
    two = [process("web"), process("other")]
    task = put_task(root, "t1", two, begun() + started(child) + started(other, number=1))
    watched = watch()
    assert (held(child.pid), held(other.pid)) == (1, 1)
    task.append(exited())
    watched.news()
    assert (held(child.pid), held(other.pid)) == (0, 1)
    assert watched.status(child) == "no"
    other.end()
    assert watched.status(other) == SEVEN


def test_the_next_run_of_a_process_is_held_in_place_of_the_last(root: str, watch: Watch, child: Child) -> None:
    first = Child()
    task = put_task(root, "t1", [process("web", daemon=True)], begun() + started(first))
    watched = watch()
    first.end()
    task.append(exited(), *started(child, run=1))
    watched.news()
    assert watched.status(first) == "no"
    child.end()
    assert watched.status(child) == SEVEN


def test_everything_of_a_task_that_ended_is_let_go(root: str, watch: Watch, child: Child) -> None:
    task = put_task(root, "t1", records=begun() + started(child))
    watched = watch()
    killed = r.Signalled(at=THEN, process=0, run=0, signal=signal.SIGKILL)
    task.append(killed, r.Abandoned(at=THEN, process=0, run=0), *over("FAILED"))
    watched.news()
    assert held(child.pid) == 0


def test_everything_of_a_task_that_is_gone_is_let_go(root: str, watch: Watch, child: Child) -> None:
    task = put_task(root, "t1", records=begun() + started(child))
    watched = watch()
    shutil.rmtree(task.directory)
    while watched.tasks.find("t1"):
        watched.news()
    assert held(child.pid) == 0


def test_a_journal_that_is_damaged_lets_nothing_go(root: str, watch: Watch, child: Child) -> None:
    task = put_task(root, "t1", records=begun() + started(child))
    watched = watch()
    damage(task)
    watched.news()
    assert error_of(watched.tasks)
    child.end()
    assert watched.status(child) == SEVEN


def damage(task: TaskOnDisk) -> None:
    """Flip a bit in the middle of the journal, and append to it."""
    path = Path(task.directory) / paths.JOURNAL
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.with_name("new").write_bytes(data)
    path.with_name("new").rename(path)


def error_of(tasks: Tasks) -> str:
    (task,) = tasks
    return task.error


def test_looking_at_everything_again_lets_nothing_go(root: str, watch: Watch, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    watched = watch()
    child.end()
    before = list(watched.tasks)
    os.rename(paths.tasks_dir(root), f"{root}/aside")
    os.rename(f"{root}/aside", paths.tasks_dir(root))
    watched.news()
    assert [task.task_id for task in watched.tasks] == ["t1"]
    assert list(watched.tasks) != before
    assert watched.status(child) == SEVEN


def test_the_end_of_a_process_wakes_nobody(root: str, watch: Watch, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    watched = watch()
    assert held(child.pid) == 1
    watched.tasks.catch_up()
    child.end()
    assert select.select([watched.witness.fileno(), watched.tasks.fileno()], [], [], 0)[0] == []


def test_no_more_are_held_than_allowed_and_the_next_when_there_is_room(root: str, watch: Watch) -> None:
    children = [Child() for _ in range(3)]
    names = [process(f"p{number}") for number in range(3)]
    records = [record for number, child in enumerate(children) for record in started(child, number=number)]
    task = put_task(root, "t1", names, begun() + records)
    watched = watch(most=2)
    without = [number for number, child in enumerate(children) if not held(child.pid)]
    assert len(without) == 1
    task.append(exited(number=(without[0] + 1) % 3))
    watched.news()
    assert held(children[without[0]].pid) == 1
    assert sum(held(child.pid) for child in children) == 2
    for child in children:
        child.end()


# -- who is answered


def test_what_was_not_asked_for_rightly_gets_no_descriptor(root: str, watch: Watch, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    watched = watch()
    right = f"t1 {child.pid} {child.ticks} {NAMESPACE}"
    for wrong in (
        f"t2 {child.pid} {child.ticks} {NAMESPACE}",
        f"t1 {child.pid + 1} {child.ticks} {NAMESPACE}",
        f"t1 {child.pid} {child.ticks + 1} {NAMESPACE}",
        f"t1 {child.pid} {child.ticks} {NAMESPACE + 1}",
    ):
        assert watched.says(wrong) == (b"no", [])
    for nonsense in ("t1", "t1 x y z", f"{right} more", "\0"):
        assert watched.says(nonsense) == (b"", [])
    answer, fds = watched.says(right)
    assert (answer, len(fds)) == (b"yes", 1)
    os.close(fds[0])


def test_who_connects_and_says_nothing_holds_nobody_up(root: str, watch: Watch, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    watched = watch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.connect(str(sockets(root)[0]))
        child.end()
        assert watched.status(child) == SEVEN
    watched.witness.answer()
    assert not select.select([watched.witness], [], [], 0)[0]


@pytest.mark.root
def test_another_user_is_not_answered_even_with_the_socket_open_to_all(
    root: str, watch: Watch, child: Child, tmp_path: Path
) -> None:
    put_task(root, "t1", records=begun() + started(child))
    watched = watch()
    (path,) = sockets(root)
    opened(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as client:
        os.seteuid(65534)
        try:
            with pytest.raises(PermissionError):
                client.connect(str(path))
            os.seteuid(0)
            path.chmod(0o666)
            os.seteuid(65534)
            client.connect(str(path))
        finally:
            os.seteuid(0)
        client.send(f"t1 {child.pid} {child.ticks} {NAMESPACE}".encode())
        watched.witness.answer()
        with pytest.raises(ConnectionResetError):
            client.recv(16)


def opened(directory: Path) -> None:
    """Everyone may come here."""
    for each in (directory, *directory.parents):
        if each.stat().st_uid == os.geteuid() and not each.stat().st_mode & 0o001:
            each.chmod(each.stat().st_mode | 0o011)


# -- the socket


def test_the_socket_is_for_its_owner_alone(root: str, watch: Watch, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    before = os.umask(0)
    try:
        watch()
    finally:
        os.umask(before)
    (path,) = sockets(root)
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [name for name in os.listdir(root) if name.startswith(".")] == []


def test_a_root_that_was_replaced_gets_a_socket_again(root: str, watch: Watch, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    watched = watch()
    os.rename(root, f"{root}-aside")
    watched.news()
    put_task(root, "t2", records=begun() + started(child))
    while not watched.tasks.find("t2"):
        watched.news()
    child.end()
    assert watched.status(child, "t2") == SEVEN


@pytest.mark.root
def test_a_root_where_the_observer_may_not_write_is_followed_without_a_socket(
    root: str, watch: Watch, child: Child, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = put_task(root, "t1", records=begun() + started(child))
    opened(tmp_path)
    Path(task.directory, paths.JOURNAL).chmod(0o644)
    os.seteuid(65534)
    try:
        watched = watch()
        task.append(r.Signalled(at=THEN, process=0, run=0, signal=signal.SIGTERM))
        watched.news()
    finally:
        os.seteuid(0)
    assert sockets(root) == []
    assert held(child.pid) == 0
    said = capsys.readouterr().out
    assert said.count(f"cannot make a socket in {root}: Permission denied") == 1


# -- the real observer, and a keeper's question


Start = Callable[..., Any]  # starts an observer of some roots


def observed(start: Start, root: str, child: Child) -> Any:
    """An observer that holds the child's pidfd."""
    running = start(root)
    until(lambda: held(child.pid, running.process.pid), "the observer does not hold it")
    return running


def answered(root: str, child: Child) -> int | None:
    """The wait status an observer's pidfd tells. Raises AssertionError where nobody gives one."""
    pidfd = asking.ask(root, "t1", child.pid, child.ticks)
    assert pidfd >= 0
    assert not os.get_inheritable(pidfd)
    status = syscalls.pidfd_exit_status(pidfd)
    os.close(pidfd)
    return status


def test_an_observer_tells_how_a_process_ended(root: str, start: Start, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    observed(start, root, child)
    child.end()
    assert answered(root, child) == SEVEN
    assert answered(root, child) == SEVEN
    assert asking.ask(root, "t1", child.pid, child.ticks + 1) == -1


def test_a_root_with_a_long_path_has_a_socket_too(tmp_path: Path, start: Start, child: Child) -> None:
    root = str(tmp_path / ("long" * 25) / ("longer" * 20))
    put_task(root, "t1", records=begun() + started(child))
    observed(start, root, child)
    child.end()
    assert answered(root, child) == SEVEN


def test_each_root_has_a_socket_of_its_own(tmp_path: Path, start: Start, child: Child) -> None:
    one, two = f"{tmp_path}/one", f"{tmp_path}/two"
    put_task(one, "t1", records=begun() + started(child))
    put_task(two, "t1", records=begun())
    running = start(one, two)
    until(lambda: held(child.pid, running.process.pid))
    child.end()
    assert answered(one, child) == SEVEN
    assert asking.ask(two, "t1", child.pid, child.ticks) == -1


def test_the_socket_goes_with_its_observer(root: str, start: Start, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    running = observed(start, root, child)
    assert len(sockets(root)) == 1
    assert running.get("/health").status == 200  # it is past its beginning, and ends in order
    running.process.terminate()
    running.process.wait(20)
    assert sockets(root) == []


def test_what_a_killed_observer_left_is_removed_by_the_next(root: str, start: Start, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    running = observed(start, root, child)
    left = sockets(root)
    running.process.kill()
    running.process.wait()
    assert asking.ask(root, "t1", child.pid, child.ticks) == -1
    Path(f"{root}/{paths.WITNESS}notes").write_text("not a socket")
    observed(start, root, child)
    assert not left[0].exists()
    assert len(sockets(root)) == 2
    child.end()
    assert answered(root, child) == SEVEN


def test_of_two_observers_each_answers_whoever_ends_first(root: str, start: Start, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    first = observed(start, root, child)
    second = observed(start, root, child)
    third = observed(start, root, child)
    assert [each.get("/health").status for each in (first, second, third)] == [200, 200, 200]
    assert len(sockets(root)) == 3
    child.end()
    for gone in (second, first):
        assert answered(root, child) == SEVEN
        gone.process.terminate()
        gone.process.wait(20)
    assert answered(root, child) == SEVEN
    third.process.terminate()
    third.process.wait(20)
    assert asking.ask(root, "t1", child.pid, child.ticks) == -1


def test_one_that_came_too_late_does_not_hide_one_that_knows(root: str, start: Start, child: Child) -> None:
    put_task(root, "t1", records=begun() + started(child))
    observed(start, root, child)
    child.end()
    other = Child()
    put_task(root, "t2", records=begun() + started(other))
    for _ in range(3):  # in whatever order they are asked
        observed(start, root, other)
    other.end()
    assert answered(root, child) == SEVEN


@pytest.mark.parametrize("root", ["/nowhere/at/all", "/dev/null", "/\udcff", "\0"])
def test_without_a_root_there_is_nobody_to_ask(root: str) -> None:
    assert asking.ask(root, "t1", 1, 1) == -1


def test_a_root_without_observers_answers_nothing(tmp_path: Path) -> None:
    (tmp_path / f"{paths.WITNESS}file").touch()
    assert asking.ask(str(tmp_path), "t1", 1, 1) == -1


def listener(directory: Path, name: str = "one") -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    listening.bind(str(directory / f"{paths.WITNESS}{name}"))
    listening.listen()
    return listening


def test_an_observer_that_hangs_is_asked_once(tmp_path: Path) -> None:
    with listener(tmp_path, os.urandom(4).hex()) as hangs:
        assert asking.ask(str(tmp_path), "t1", 1, 1) == -1
        asked, _ = hangs.accept()
        assert asked.recv(100) == f"t1 1 1 {NAMESPACE}".encode()
        asked.close()
        assert asking.ask(str(tmp_path), "t1", 2, 2) == -1
        with pytest.raises(BlockingIOError):
            hangs.accept()


@pytest.mark.root
def test_an_observer_of_another_user_is_not_believed(tmp_path: Path) -> None:
    """Nothing shows any more whose pidfd it is that comes."""
    name = os.urandom(4).hex()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as foreign:
        foreign.bind(str(tmp_path / f"{paths.WITNESS}{name}"))
        os.seteuid(65534)
        try:
            foreign.listen()
        finally:
            os.seteuid(0)
        assert asking.ask(str(tmp_path), "t1", 1, 1) == -1
        asked, _ = foreign.accept()
        assert asked.recv(100) == b""


def test_news_and_ends_are_told_apart(root: str, child: Child) -> None:
    ended: list[Observed] = []
    news: list[Observed] = []
    task = put_task(root, "t1", records=begun())
    tasks = Tasks([root], ended.append, news.append)
    assert (len(news), len(ended)) == (1, 0)
    task.append(*over())
    select.select([tasks], [], [], 10)
    tasks.catch_up()
    assert (len(news), len(ended)) == (1, 1)
    tasks.close()
