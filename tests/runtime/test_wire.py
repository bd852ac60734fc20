"""Messages between keeper and supervisor, with descriptors beside them, whatever the size and the other end's pace."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from deadline import until

from thermos.runtime.wire import MOST_FDS, Closed, Wire


@pytest.fixture
def ends() -> Iterator[tuple[Wire, Wire]]:
    one, other = (Wire(end.detach()) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
    yield one, other
    one.close()
    other.close()


def transfer(sender: Wire, receiver: Wire, count: int) -> list[tuple[tuple[Any, ...], tuple[int, ...]]]:
    """Until so many messages have come, each end doing what it can in turn."""
    came: list[tuple[tuple[Any, ...], tuple[int, ...]]] = []

    def turn() -> bool:
        if sender.wants_write:
            sender.flush()
        came.extend(receiver.receive())
        return len(came) >= count

    until(turn, f"{len(came)} of {count} messages came")
    return came


def is_same(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    finally:
        os.close(fd)


def test_a_message_comes_as_it_was_sent(ends: tuple[Wire, Wire]) -> None:
    one, other = ends
    message = ("name", 0, -1, 1 << 40, 0.25, "Zürich\n", "", None, (1, 2), ["a"], {"k": ("v",)}, True)
    one.send(message)
    assert other.receive() == [(message, ())]
    assert other.receive() == []


def test_messages_keep_their_order_and_their_bounds(ends: tuple[Wire, Wire]) -> None:
    one, other = ends
    for number in range(100):
        one.send(("n", number))
    assert [message for message, _ in transfer(one, other, 100)] == [("n", number) for number in range(100)]


def test_ten_megabytes_do_not_block_the_sender(ends: tuple[Wire, Wire]) -> None:
    one, other = ends
    text = "x" * (10 << 20)
    one.send(("big", text))
    one.send(("small",))
    assert one.wants_write
    (big, _), (small, _) = transfer(one, other, 2)
    assert big == ("big", text)
    assert small == ("small",)
    assert not one.wants_write


def test_both_ends_may_send_much_at_once(ends: tuple[Wire, Wire]) -> None:
    one, other = ends
    text = "x" * (2 << 20)
    one.send(("from one", text))
    other.send(("from other", text))
    for sender, receiver, name in ((one, other, "from one"), (other, one, "from other")):
        assert transfer(sender, receiver, 1) == [((name, text), ())]


def test_descriptors_come_with_their_message(ends: tuple[Wire, Wire], tmp_path: Any) -> None:
    one, other = ends
    paths = []
    for number in range(3):
        path = str(tmp_path / str(number))
        paths.append(path)
        fd = os.open(path, os.O_CREAT | os.O_RDWR)
        one.send(("plain", number))
        one.send(("with", number), (fd,))
        os.close(fd)
    came = transfer(one, other, 6)
    assert [message for message, _ in came] == [(word, n) for n in range(3) for word in ("plain", "with")]
    assert [len(fds) for _, fds in came] == [0, 1] * 3
    assert [is_same(fds[0], path) for (_, fds), path in zip(came[1::2], paths, strict=True)] == [True] * 3


def test_descriptors_wait_with_their_message_for_a_slow_peer(ends: tuple[Wire, Wire], tmp_path: Any) -> None:
    """The sender may close its own at once."""
    one, other = ends
    one.send(("big", "x" * (4 << 20)))
    paths = []
    for number in range(50):
        path = str(tmp_path / str(number))
        paths.append(path)
        fd = os.open(path, os.O_CREAT | os.O_RDWR)
        one.send(("with", number, "y" * 10000), (fd,))
        os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    came = transfer(one, other, 51)[1:]
    assert [message[1] for message, _ in came] == list(range(50))
    assert [is_same(fds[0], path) for (_, fds), path in zip(came, paths, strict=True)] == [True] * 50
    assert len(os.listdir("/proc/self/fd")) == before - 50


def test_as_many_descriptors_as_there_may_be(ends: tuple[Wire, Wire]) -> None:
    one, other = ends
    fd = os.open(os.devnull, os.O_RDONLY)
    one.send(("many",), [fd] * MOST_FDS)
    os.close(fd)
    ((message, fds),) = transfer(one, other, 1)
    assert (message, len(fds)) == (("many",), MOST_FDS)
    assert [is_same(fd, os.devnull) for fd in fds] == [True] * MOST_FDS


@pytest.mark.parametrize("room", [0, 1])
def test_descriptors_that_cannot_be_had_are_missing_from_their_own_message_alone(
    ends: tuple[Wire, Wire], room: int
) -> None:
    one, other = ends
    fd = os.open("/dev/zero", os.O_RDONLY)
    one.send(("unlucky",), (fd, fd))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(fd)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + room, hard))
    try:
        ((message, first),) = other.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    one.send(("lucky",), (fd,))
    os.close(fd)
    ((after, second),) = other.receive()
    assert (message, len(first)) == (("unlucky",), room)
    assert (after, len(second)) == (("lucky",), 1)
    assert [is_same(fd, "/dev/zero") for fd in (*first, *second)] == [True] * (room + 1)


def test_received_descriptors_are_not_inherited(ends: tuple[Wire, Wire]) -> None:
    one, other = ends
    with open(os.devnull) as file:
        one.send(("one",), (file.fileno(),))
    ((_, (fd,)),) = transfer(one, other, 1)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_what_was_sent_before_the_end_is_received_before_it_is_told(ends: tuple[Wire, Wire]) -> None:
    one, other = ends
    one.send(("last", "words"))
    one.close()
    assert other.receive() == [(("last", "words"), ())]
    with pytest.raises(Closed):
        other.receive()


def test_half_a_message_before_the_end_is_none() -> None:
    raw, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    wire = Wire(end.detach())
    raw.sendall((100).to_bytes(4, "little") + b"only this")
    assert wire.receive() == []
    raw.close()
    with pytest.raises(Closed):
        wire.receive()
    wire.close()


def test_sending_to_a_peer_that_is_gone_is_no_error(ends: tuple[Wire, Wire]) -> None:
    one, other = ends
    other.close()
    one.send(("anyone?",))
    one.send(("anyone?", "x" * (1 << 20)))
    assert not one.wants_write
    with pytest.raises(Closed):
        one.receive()


def test_a_peer_that_goes_while_something_waits_to_be_sent(ends: tuple[Wire, Wire]) -> None:
    one, other = ends
    one.send(("big", "x" * (4 << 20)))
    with open(os.devnull) as file:
        one.send(("with",), (file.fileno(),))
    before = len(os.listdir("/proc/self/fd"))
    other.close()
    one.flush()
    assert not one.wants_write
    assert len(os.listdir("/proc/self/fd")) == before - 2  # the other end, and the waiting duplicate
