"""A file inside the sandbox is opened, and nothing else, whatever the task planted there."""

from __future__ import annotations

import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from observer.files import Refused, chunks, last_lines, open_inside, size_of


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    inside = tmp_path / "sandbox"
    (inside / "logs").mkdir(parents=True)
    (inside / "logs" / "stdout").write_bytes(b"hello")
    (tmp_path / "secret").write_bytes(b"secret")
    return inside


def read(sandbox: Path, path: str, links: bool = False) -> bytes:
    with open_inside(str(sandbox), path, links) as file:
        return file.read()


def test_a_regular_file_is_opened(sandbox: Path) -> None:
    assert read(sandbox, "logs/stdout") == b"hello"


@pytest.mark.parametrize("links", [False, True])
@pytest.mark.parametrize("target", ["/etc/shadow", "../../secret", "/proc/self/environ", "/proc/1/root/etc/shadow"])
def test_a_link_out_of_the_sandbox_is_refused(sandbox: Path, target: str, links: bool) -> None:
    (sandbox / "logs" / "stderr").symlink_to(target)
    with pytest.raises(Refused, match="cannot open logs/stderr in the sandbox"):
        read(sandbox, "logs/stderr", links)


@pytest.mark.parametrize("links", [False, True])
def test_a_directory_that_is_a_link_leads_nowhere_outside(sandbox: Path, tmp_path: Path, links: bool) -> None:
    (sandbox / "etc").symlink_to("/etc")
    (sandbox / "up").symlink_to("..")
    for path in ("etc/passwd", "up/secret"):
        with pytest.raises(Refused):
            read(sandbox, path, links)


def test_a_link_to_a_file_inside_is_followed_only_where_that_was_asked_for(sandbox: Path) -> None:
    (sandbox / "latest").symlink_to("/logs/stdout")
    assert read(sandbox, "latest", links=True) == b"hello"
    with pytest.raises(Refused, match="symbolic link"):
        read(sandbox, "latest")


@pytest.mark.parametrize("path", ["../secret", "logs/../../secret", "/../secret", "logs/../../../../../etc/passwd"])
def test_dots_do_not_lead_out(sandbox: Path, path: str) -> None:
    with pytest.raises(Refused, match="No such file"):
        read(sandbox, path)


def test_an_absolute_path_begins_at_the_sandbox(sandbox: Path) -> None:
    assert read(sandbox, "/logs/stdout") == b"hello"


def test_a_fifo_is_refused_without_being_opened(sandbox: Path) -> None:
    fifo = sandbox / "logs" / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(Refused, match="not a regular file"):
        read(sandbox, "logs/fifo")
    with pytest.raises(OSError):
        os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)  # ENXIO: there never was a reader


def test_directories_sockets_and_missing_files_are_refused(sandbox: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(sandbox / "socket"))
        for path, why in (("logs", "not a regular file"), ("socket", "not a regular file"), ("none", "No such file")):
            with pytest.raises(Refused, match=why):
                read(sandbox, path)


def test_a_sandbox_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=f"cannot open the sandbox {tmp_path}/none: No such file"):
        read(tmp_path / "none", "x")


def test_a_refusal_leaves_no_file_open(sandbox: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for path in ("logs", "none", "../secret"):
        with pytest.raises(Refused):
            read(sandbox, path)
    assert os.listdir("/proc/self/fd") == before


def test_a_huge_file_goes_out_in_small_pieces(sandbox: Path) -> None:
    os.truncate(sandbox / "logs" / "stdout", 64 << 20)
    tracemalloc.start()
    try:
        file = open_inside(str(sandbox), "logs/stdout")
        assert sum(len(chunk) for chunk in chunks(file, 0, size_of(file))) == 64 << 20
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert file.closed


@pytest.mark.parametrize(
    ("content", "count", "expected"),
    [
        (b"", 1, b""),
        (b"a\nb\nc\n", 1, b"c\n"),
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\nc\n", 9, b"a\nb\nc\n"),
        (b"a\nb\n", 0, b""),
        (b"\n\n\n", 2, b"\n\n"),
        (b"x" * 200_000 + b"\n" + b"y" * 100_000 + b"\nz\n", 2, b"y" * 100_000 + b"\nz\n"),
        (b"x" * 65_535 + b"\n", 1, b"x" * 65_535 + b"\n"),
        (b"x\n" + b"y" * 65_535 + b"\n", 1, b"y" * 65_535 + b"\n"),
    ],
)
def test_the_last_lines_begin_where_lines_begin(sandbox: Path, content: bytes, count: int, expected: bytes) -> None:
    (sandbox / "logs" / "stdout").write_bytes(content)
    with open_inside(str(sandbox), "logs/stdout") as file:
        assert content[last_lines(file, count, 1 << 20) :] == expected


def test_the_beginning_of_an_endless_line_is_not_looked_for_without_end(sandbox: Path) -> None:
    (sandbox / "logs" / "stdout").write_bytes(b"x" * 300_000)
    with open_inside(str(sandbox), "logs/stdout") as file:
        assert last_lines(file, 1, 100_000) == 200_000
