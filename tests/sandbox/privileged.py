"""A program with given privileges: `confined(argv, nice=5, ...)` runs it in a process of its own, as spawn would.

Run as a program it takes a JSON object on standard input, {"asked", "landlock", "uid", "argv", "plain"}, and becomes
`argv`. Where a step fails it says so on standard error as JSON and exits with 99.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NOBODY = 65534


class Failed(Exception):
    """A step failed: (step, errno, text)."""


def confined(
    argv: list[str],
    *,
    uid: int | None = None,
    plain: bool = False,
    landlock: dict[str, Any] | None = None,
    through: Sequence[str] = (),
    **asked: Any,
) -> subprocess.CompletedProcess[str]:
    """`uid`: whom to become. `plain`: without any of the steps, to see what they make of it. `through`: what starts
    the starter. Raises Failed."""
    told = {"asked": asked, "landlock": landlock, "uid": uid, "argv": argv, "plain": plain}
    done = subprocess.run(
        [*through, "/usr/bin/python3", "-I", __file__],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
    )
    if done.returncode == 99:
        raise Failed(*json.loads(done.stderr))
    return done


def python(code: str, **asked: Any) -> Any:
    """What a piece of Python leaves in `answer`. It has os, errno, ctypes, socket, `libc` and `call(number, ...)`."""
    done = confined(["/usr/bin/python3", "-I", "-c", PRELUDE + code + "\nprint(json.dumps(answer))"], **asked)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


PRELUDE = """
import ctypes, errno, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(ctypes.c_long(number), *(ctypes.c_long(each) for each in arguments)) < 0:
        return ctypes.get_errno()
    return 0
def status(*keys):
    lines = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
    return [lines[key] for key in keys]
def tried(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
"""


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from sandbox import syscalls
    from sandbox.privileges import doing, probing, table
    from sandbox.privileges.asked import Landlock, Privileges

    told = json.load(sys.stdin)
    if told["landlock"] is not None:
        told["asked"]["landlock"] = Landlock(**told["landlock"])
    uid = told["uid"]
    steps = table.steps(
        Privileges(**told["asked"]), probing.kernel(), root_user=os.getuid() == 0 if uid is None else uid == 0
    )
    if told["plain"]:
        steps = ()

    class Telling:
        step = ""

    telling = Telling()
    try:
        doing.early(steps, telling)
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        if not told["plain"]:
            syscalls.set_no_new_privs()
        doing.late(steps, telling)
        telling.step = "execute"
        os.execvp(told["argv"][0], told["argv"])
    except OSError as error:
        text = (error.strerror or "") + (f" ({error.filename})" if error.filename else "")
        print(json.dumps([telling.step, error.errno, text]), file=sys.stderr)
        os._exit(99)


if __name__ == "__main__":
    main()
