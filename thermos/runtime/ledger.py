"""The keeper's ledger, the file `exits`: whom it forked, and how each ended. One writer at a time, and its children.

Lines of words; a line without its newline was torn by a crash and does not count. Numbers name
processes and runs; a text is one word (see `quote`). <fork> tells one child from another that was forked for the same
run: a child that outlives its keeper for a moment may write after the next keeper's child.

    boot <boot id>                                              what follows happened in this boot
    first <pid> <ticks> <clone> <enter>                         the sandbox's first process, its namespaces' bits
    made <pid> <network> [<part> <why>]...                      it is ready; its address, and what could not be had
    spawned <process> <run> <pid> <ticks> <leaf> <fork>         forked; not yet let go
    never <process> <run> <errno> <step> <text> <fork>          that fork did not execute anything, and will not
    stopping <process> <run>                                    it was asked to stop
    exited <process> <run> <status> <source> <oom> <cpu ns> <peak bytes> <at>     -1: not known
"""

from __future__ import annotations

import os

from sandbox import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Rewritten without what has been acknowledged when it is larger than this, in bytes.
LARGEST = 256 << 10

#: Bytes put by beyond its end, and how much of that may be used up before more is put by. A run writes about 200.
RESERVE, LOW = 64 << 10, 32 << 10


class Ledger:
    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = self._open(path)
        self._cut_torn_end()
        self.size = os.fstat(self._fd).st_size
        self._put_by(self._fd, self.size)

    @staticmethod
    def _open(path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def _cut_torn_end(self) -> None:
        """Else the next line would become a part of the torn one."""
        data = self._read()
        if not data.endswith(b"\n"):
            os.ftruncate(self._fd, data.rfind(b"\n") + 1)

    def _read(self) -> bytes:
        data = b""
        while chunk := os.pread(self._fd, 1 << 20, len(data)):
            data += chunk
        return data

    def _put_by(self, fd: int, size: int) -> None:
        """Ends can be written down on a full disk too."""
        try:
            syscalls.allocate(fd, size, RESERVE)
        except OSError:
            pass  # there is no room: it is met when it is met
        self._left = RESERVE

    def lines(self) -> list[list[str]]:
        """Every whole line, as words."""
        data = self._read()
        return [line.split(" ") for line in data.decode(errors="replace").split("\n")[:-1] if line]

    def append(self, *words: object) -> None:
        """One line, in the file when this returns. Raises OSError: on a full disk nothing of it stays."""
        line = (" ".join(map(str, words)) + "\n").encode()
        done = os.write(self._fd, line)
        if done < len(line):
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - done)
            raise OSError(28, os.strerror(28), self._path)
        self.size += done
        self._left -= done
        if self._left < LOW:
            self._put_by(self._fd, os.fstat(self._fd).st_size)

    def rewrite(self, lines: Iterable[tuple[object, ...]]) -> None:
        """Put these lines in place of all that is there, at one stroke."""
        fresh = self._path + ".new"
        try:
            os.unlink(fresh)
        except FileNotFoundError:
            pass
        fd = self._open(fresh)
        data = "".join(" ".join(map(str, words)) + "\n" for words in lines).encode()
        try:
            if os.write(fd, data) < len(data):
                raise OSError(28, os.strerror(28), fresh)
            self._put_by(fd, len(data))
            os.rename(fresh, self._path)
        except OSError:
            os.close(fd)
            os.unlink(fresh)
            raise
        os.close(self._fd)
        self._fd = fd
        self.size = len(data)


def quote(text: str) -> str:
    """A text as one word."""
    return text.replace("%", "%25").replace(" ", "%20").replace("\n", "%0A") or "%"


def unquote(word: str) -> str:
    if word == "%":
        return ""
    return word.replace("%0A", "\n").replace("%20", " ").replace("%25", "%")
