"""Starts one process in a sandbox, as a program of its own: `starter.py` with a JSON object on standard input.

    {"namespaces": [...], "keep": [...], "hostname": ..., "directory", "logs", "cgroups": [...], "credentials": ...,
     "argv": [...], "env": {...}, "never": path, "go": bool, "background": bool}

It answers with a JSON object on standard output: {"pid", "status", "step", "errno", "text", "init"}.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from sandbox import spawn, syscalls
from sandbox.plan import Plan, plan
from sandbox.spec import Spec


def first_process(steps: Plan) -> spawn.Child:
    if steps.clone:
        syscalls.unshare(steps.clone)
    first = spawn.fork_first(steps, ["sandbox-pause", "infinity"])
    first.go()
    first.wait()
    return first


def main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    answer: dict[str, Any] = {}
    told = os.open(asked["never"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    steps = plan(Spec(asked.get("namespaces", ()), asked.get("keep", ()), asked.get("hostname")))
    init, first = -1, None
    if steps.clone or steps.enter:
        first = first_process(steps)
        init = os.pidfd_open(first.pid)
        answer["init"] = first.pid

    def never(step: str, number: int, text: str) -> None:
        os.write(told, f"{step}|{number}|{text}\n".encode())

    credentials = asked.get("credentials")
    place = spawn.Place(
        asked["directory"],
        asked.get("logs", ".logs/p/0"),
        asked.get("cgroups", ()),
        credentials and tuple(credentials),
        init,
        steps.enter,
    )
    child = spawn.fork(place, never)
    answer["pid"] = child.pid
    if not asked.get("go", True):
        print(json.dumps(answer), flush=True)
        sys.stdin.close()
        signal.pause()
    child.go(spawn.Order(asked["argv"], asked.get("env", {"PATH": "/usr/bin:/bin"})))
    try:
        child.wait()
    except spawn.Failure as failure:
        answer |= {"step": failure.step, "errno": failure.errno, "text": failure.text}
    if not asked.get("background"):
        answer["status"] = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        if first is not None:
            os.kill(first.pid, 9)
    print(json.dumps(answer), flush=True)


main()
