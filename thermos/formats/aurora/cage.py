"""Has a file run by a process without privileges, and hears what came of it: plain data, whoever sent it.

What the process says is believed as little as the file itself. It may ask for files that the top one includes; it gets
those in the top file's directory and below, which whoever wrote there could have written into the file as well.
"""

from __future__ import annotations

import json
import os
import pwd
import selectors
import signal
import socket
import stat
import subprocess
import sys
import time

from thermos.config.scalars import whole
from thermos.formats.problems import Problem, TaskFileError

from . import wire
from .answer import NO_SENSE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from thermos.config.wording import Value

    from .choice import Choice

#: Bytes of address space, seconds of processor time, seconds until it is stopped whatever it does.
MEMORY = 1 << 30
PROCESSOR_SECONDS = 30
SECONDS = 60

LARGEST_ANSWER = 16 << 20  # bytes; as Python values twenty times that
LARGEST_INCLUDE = 16 << 20  # bytes
SHOWN_OUTPUT = 64 << 10  # bytes of what it prints that are passed on
MOST_OUTPUT = 16 << 20  # bytes after which it is stopped

_ROOTS = list(
    dict.fromkeys(
        [
            os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))),
            *(path for path in sys.path if path.endswith("-packages")),
        ]
    )
)
_CODE = f"import sys; sys.path[:0] = {_ROOTS!r}; from thermos.formats.aurora.child import main; main()"


def run(file: str, text: str, dialect: str, bindings: Mapping[str, str], choice: Choice) -> Value:
    """What it says: any JSON value. Raises TaskFileError where it says nothing."""
    asked = {
        "file": file,
        "text": text,
        "dialect": dialect,
        "bindings": dict(bindings),
        "job": choice.job,
        "task": choice.task,
        "instance": choice.instance,
        "memory": MEMORY,
        "seconds": PROCESSOR_SECONDS,
    }
    cage = _Cage(file)
    try:
        return cage.talk(asked)
    finally:
        cage.end()


class _Cage:
    def __init__(self, file: str) -> None:
        self.file = file
        self.output = bytearray()
        self.printed = 0
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.channel, theirs = socket.socketpair()
        self.printing, printed = os.pipe()
        with theirs:
            try:
                self.process = subprocess.Popen(
                    [
                        sys.executable,
                        *("-I", "-S", "-B", "-W", "ignore", "-X", "utf8", "-c"),
                        _CODE,
                        str(theirs.fileno()),
                        str(os.getpid()),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=printed,
                    pass_fds=[theirs.fileno()],
                    env=_environment(),
                    start_new_session=True,
                )
            finally:
                os.close(printed)
        self.channel.setblocking(False)
        os.set_blocking(self.printing, False)

    def talk(self, asked: object) -> Value:
        """The answer. Raises TaskFileError where none comes."""
        deadline = time.monotonic() + SECONDS
        self.outgoing += wire.framed(asked)
        with selectors.DefaultSelector() as selector:
            selector.register(self.channel, selectors.EVENT_READ | selectors.EVENT_WRITE)
            selector.register(self.printing, selectors.EVENT_READ)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._refused(f"it ran longer than {SECONDS} seconds")
                ready = selector.select(left)
                for key, events in ready:
                    if key.fileobj is self.channel and events & selectors.EVENT_WRITE:
                        self._send()
                    elif key.fileobj == self.printing and not self._take_output():
                        selector.unregister(self.printing)
                if any(key.fileobj is self.channel and events & selectors.EVENT_READ for key, events in ready):
                    if not self._receive():
                        raise self._refused(self._why_it_ended())
                    for message in self._messages():
                        if not isinstance(message, dict) or "include" not in message:
                            return message
                        if self.outgoing:  # who does not read what it asked for would have us keep it all
                            raise self._refused(NO_SENSE)
                        self.outgoing += wire.framed(self._include(message["include"]))
                writing = selectors.EVENT_WRITE if self.outgoing else 0
                selector.modify(self.channel, selectors.EVENT_READ | writing)

    def end(self) -> None:
        """Kill what is left, and pass on what was printed."""
        self._kill()
        self.channel.close()
        while self._take_output():
            pass
        os.close(self.printing)
        if self.output:
            sys.stderr.write(_harmless(bytes(self.output), self.printed))
            sys.stderr.flush()

    def _kill(self) -> None:
        if self.process.returncode is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()

    def _send(self) -> None:
        try:
            del self.outgoing[: self.channel.send(self.outgoing)]
        except BlockingIOError:
            pass
        except OSError:  # it is gone, and the next read says so
            self.outgoing.clear()

    def _receive(self) -> bool:
        try:
            more = self.channel.recv(1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            more = b""
        self.incoming += more
        return bool(more)

    def _messages(self) -> list[Value]:
        messages: list[Value] = []
        while len(self.incoming) >= wire.HEADER:
            length = int.from_bytes(self.incoming[: wire.HEADER], "little")
            if length > LARGEST_ANSWER:
                begun = bytes(self.incoming[wire.HEADER : wire.HEADER + 1])
                if not begun and length <= wire.LARGEST:
                    break
                if begun != b"{" or length > wire.LARGEST:  # so much is never sent: it is no length
                    raise self._refused(NO_SENSE)
                raise self._refused(f"what it defines is larger than {LARGEST_ANSWER >> 20} MiB")
            if len(self.incoming) < wire.HEADER + length:
                break
            body = bytes(self.incoming[wire.HEADER : wire.HEADER + length])
            del self.incoming[: wire.HEADER + length]
            try:
                messages.append(json.loads(body, parse_int=whole))
            except (ValueError, RecursionError):
                raise self._refused(NO_SENSE) from None
        return messages

    def _take_output(self) -> bool:
        try:
            more = os.read(self.printing, 1 << 16)
        except BlockingIOError:
            return False
        self.printed += len(more)
        self.output += more[: max(0, SHOWN_OUTPUT - len(self.output))]
        if self.printed > MOST_OUTPUT and self.process.returncode is None:
            raise self._refused(f"it prints more than {MOST_OUTPUT >> 20} MiB")
        return bool(more)

    def _why_it_ended(self) -> str:
        """The channel is closed and there was no answer."""
        try:
            status = self.process.wait(1)
        except subprocess.TimeoutExpired:
            return "it closed the channel that its result should come by"
        if status == -signal.SIGXCPU:
            return f"it used more than {PROCESSOR_SECONDS} seconds of processor time"
        if status == -signal.SIGSYS:
            return "it made a forbidden system call"
        if status < 0:
            return f"the process that ran it was killed by {_signal_name(-status)}"
        if self.incoming and status == 0:  # the true answer was taken for the rest of something
            return NO_SENSE
        return f"it ended the process that ran it (exit status {status})"

    def _include(self, path: Value) -> dict[str, str]:
        if not isinstance(path, str):
            return {"why": "that is no path"}
        try:
            return {"text": _text_below(os.path.dirname(self.file) or ".", path)}
        except OSError as error:
            return {"why": (error.strerror or str(error)).lower()}
        except ValueError as error:
            return {"why": str(error)}

    def _refused(self, why: str) -> TaskFileError:
        self._kill()
        return TaskFileError([Problem(self.file, 0, 0, "", f"cannot run the task file: {why}")])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _environment() -> dict[str, str]:
    try:
        user = pwd.getpwuid(os.getuid())
        name, home = user.pw_name, user.pw_dir
    except KeyError:
        name, home = str(os.getuid()), "/"
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": home, "USER": name, "LOGNAME": name, "LANG": "C.UTF-8"}


def _text_below(directory: str, path: str) -> str:
    """The text of a regular file in a directory or below it, once all links are followed.

    Raises OSError, ValueError. Every step down is taken from the directory above, and none through a link: whoever may
    change what lies there cannot lead elsewhere in between.
    """
    top = os.path.realpath(directory)
    real = os.path.realpath(path)
    if os.path.commonpath([top, real]) != top or real == top:
        raise ValueError("it may not be read by everybody, and is not below the directory of the task file")
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *directories, name = os.path.relpath(real, top).split("/")
        for step in directories:
            below = os.open(step, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = below
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    finally:
        os.close(fd)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise ValueError("it is no regular file")
        with open(opened, "rb", closefd=False) as source:
            content = source.read(LARGEST_INCLUDE + 1)
    finally:
        os.close(opened)
    if len(content) > LARGEST_INCLUDE:
        raise ValueError(f"it is larger than {LARGEST_INCLUDE >> 20} MiB")
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None


def _harmless(printed: bytes, whole_length: int) -> str:
    text = printed.decode(errors="replace")
    shown = "".join(sign if sign.isprintable() or sign in "\n\t" else repr(sign)[1:-1] for sign in text)
    if whole_length > len(printed):
        shown += f"\n... ({whole_length - len(printed)} bytes more)"
    return shown if shown.endswith("\n") else shown + "\n"
