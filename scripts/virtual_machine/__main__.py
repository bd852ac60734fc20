"""A throw-away virtual machine: Debian's user-mode-linux, a kernel that runs as a process.

This is the outside: it starts the machine, hands on what it says, and leaves nothing of it behind. The inside is
`init.py`, the machine's first process. They share a directory with the command in it, and three consoles: output,
errors and exit status of the command.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from sandbox.syscalls import CLONE_NEWPID, unshare

KERNEL = "linux.uml"
TIMED_OUT, NO_MACHINE = 124, 125

_PR_SET_PDEATHSIG = 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/vm", allow_abbrev=False)
    parser.add_argument("--timeout", type=float, default=60, help="default 60", metavar="SECONDS")
    parser.add_argument("--memory", type=int, default=1024, help="default 1024", metavar="MIB")
    parser.add_argument("--verbose", action="store_true", help="the kernel's messages, to stderr")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    given = parser.parse_args()
    if not shutil.which(KERNEL):
        return _no_machine(f"there is no {KERNEL}: apt-get install user-mode-linux")
    try:
        unshare(CLONE_NEWPID)
    except OSError as error:
        return _no_machine(f"a pid namespace takes root: {error.strerror}")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    with tempfile.TemporaryDirectory(prefix="vm.") as directory:
        return _run(Path(directory), given)


def _no_machine(why: str) -> int:
    print(f"vm: cannot start a virtual machine: {why}", file=sys.stderr)
    return NO_MACHINE


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def _run(directory: Path, given: argparse.Namespace) -> int:
    init = _write_init(directory, given.command)
    readers, writers = zip(*(os.pipe() for _ in range(3)), strict=True)
    kernel = [KERNEL, f"mem={given.memory}M", f"uml_dir={directory}"]
    root = ["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"init={init}"]
    consoles = ["con=null", "con0=null,fd:2", *(f"con{n}=null,fd:{fd}" for n, fd in enumerate(writers, 1))]
    log = sys.stderr if given.verbose else subprocess.DEVNULL
    machine = subprocess.Popen(
        [*kernel, *root, *consoles],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=writers,
        env={**os.environ, "TMPDIR": "/dev/shm"},  # where its memory is a file
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )
    try:
        for fd in writers:
            os.close(fd)
        status = _hand_on(readers, time.monotonic() + given.timeout)
    except TimeoutError:
        print(f"vm: the command did not end within {given.timeout:g} seconds", file=sys.stderr)
        return TIMED_OUT
    except BrokenPipeError:  # nobody reads on
        return 128 + signal.SIGPIPE
    finally:
        machine.kill()  # the first process of a pid namespace: the kernel ends the others with it
        machine.wait()
    if not status:
        return _no_machine("it did not come up, or went down before the command ended; --verbose shows more")
    return int(status)


def _write_init(directory: Path, command: list[str]) -> Path:
    """The machine's first program, and what it is to do."""
    (directory / "order").write_text(json.dumps({"argv": command, "cwd": os.getcwd(), "env": dict(os.environ)}))
    program = [sys.executable, "-I", "-S", str(Path(__file__).with_name("init.py")), str(directory / "order")]
    init = directory / "init"
    init.write_text(f"#!/bin/sh\nexec {shlex.join(program)}\n")
    init.chmod(0o755)
    return init


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _hand_on(readers: tuple[int, ...], deadline: float) -> bytes:
    """Output and errors to ours, until the machine says on the third how the command ended, or is gone without.

    It says that when all of the others has arrived. Nobody waits for it to be gone then: one that has halted may stay.
    """
    outputs = dict(zip(readers, (1, 2, None), strict=True))
    status = b""
    with selectors.DefaultSelector() as selector:
        for fd in readers:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            over = status.endswith(b"\n")
            ready = selector.select(0 if over else left)
            if over and not ready:
                break
            for key, _ in ready:
                output, data = outputs[key.fd], os.read(key.fd, 1 << 16)
                if not data:
                    selector.unregister(key.fd)
                elif output is None:
                    status += data
                else:
                    with open(output, "wb", closefd=False) as file:
                        file.write(data)
    return status


sys.exit(main())
