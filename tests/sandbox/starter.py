"""Starts one process in a sandbox, as a program of its own: `starter.py` with a JSON object on standard input.

    {"namespaces": [...], "keep": [...], "hostname": ..., "spec": {the rest; "volumes": [{...}], "root": {...},
     "users": {"uids": [[...]], "gids": [[...]]}}, "directory", "logs", "cgroups": [...], "credentials": ...,
     "privileges": [[...]], "argv": [...], "env": {...}, "never": path, "go": bool, "background": bool,
     "caller": uid of the caller, "left_out": [parts], "fail": [step's number, errno],
     "rehearse": [required parts], "dead": whether the first process is, when the other is started,
     "unknown": whether there is a step that nobody knows}

It answers with a JSON object on standard output: {"pid", "status", "step", "errno", "text", "init", "parts", "left"}:
`left` are the pids of what is still there after the end, of all that it was the parent of.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from sandbox import furnish, pause, rehearse, spawn, syscalls, userns
from sandbox.plan import Plan, from_words, parts, plan, to_words, without
from sandbox.spec import Root, Spec, Users, Volume

#: Used in children, after the caller may have become one who cannot read their files.
_LOADED = (pause, userns)


def spec(asked: dict[str, Any]) -> Spec:
    more = dict(asked.get("spec", {}))
    if "volumes" in more:
        more["volumes"] = [Volume(**each) for each in more["volumes"]]
    if more.get("root"):
        more["root"] = Root(**more["root"])
    if more.get("users"):
        more["users"] = Users(*([tuple(row) for row in more["users"][ids]] for ids in ("uids", "gids")))
    return Spec(asked.get("namespaces", ()), asked.get("keep", ()), asked.get("hostname"), **more)


def fail_at(number: int, error: int, steps: Plan) -> None:
    """The step of that number fails, of those outside and inside: all before it are carried out."""
    outside = len({op[3][0] for op in steps.outside})  # what is held already is not taken again
    if number < outside:
        take, left = userns._take, [number]  # pyright: ignore[reportPrivateUsage]

        def take_or_fail(path: str, recursive: bool, namespace: int) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(error, os.strerror(error), path)
            return take(path, recursive, namespace)

        userns._take = take_or_fail  # pyright: ignore[reportPrivateUsage]
        return
    carry_out = furnish.carry_out

    def carry_out_or_fail(todo: Any, held: dict[str, int], begin: Any) -> None:
        carry_out(todo[: number - outside], held, begin)
        begin(todo[number - outside][1])
        raise OSError(error, os.strerror(error))

    furnish.carry_out = carry_out_or_fail


def argument(given: object) -> object:
    """JSON has no bytes."""
    return bytes.fromhex(given[4:]) if isinstance(given, str) and given.startswith("hex:") else given


def children() -> list[int]:
    return list(map(int, open(f"/proc/self/task/{os.getpid()}/children").read().split()))


def start_first(steps: Plan) -> spawn.Child:
    if steps.clone:
        syscalls.unshare(steps.clone)
    first = spawn.fork_first(steps, ["sandbox-pause", "infinity"])
    first.go()
    return first


def become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    syscalls.set_dumpable()


def run(asked: dict[str, Any], steps: Plan, answer: dict[str, Any], told: int) -> None:
    init, first = -1, None
    if steps.clone or steps.enter:
        first = start_first(steps)
        try:
            first.wait()
        except spawn.Failure as failure:
            answer |= {"step": failure.step, "errno": failure.errno, "text": failure.text}
            os.waitpid(first.pid, 0)
            return
        init = os.pidfd_open(first.pid)
        answer["init"] = first.pid
        if asked.get("dead"):
            os.kill(first.pid, 9)
            os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)

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
        privileges=[tuple(map(argument, step)) for step in asked.get("privileges", ())],
    )
    try:
        child = spawn.fork(place, never)
    except OSError as error:
        answer |= {"step": "fork", "errno": error.errno}
        if first is not None:
            os.waitpid(first.pid, 0)
        return
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
            os.waitpid(first.pid, 0)


def main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    answer: dict[str, Any] = {}
    told = os.open(asked["never"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    steps = plan(spec(asked), asked.get("rehearse", ()))
    for part in asked.get("left_out", ()):
        steps = without(steps, part)
    steps = from_words(json.loads(json.dumps(to_words(steps))))
    if asked.get("unknown"):
        steps.first.append(("mount", "future", "no_such_step", ()))
    answer["parts"] = parts(steps)
    if "fail" in asked:
        fail_at(*asked["fail"], steps)
    syscalls.set_child_subreaper()
    if "caller" in asked:
        become(asked["caller"])
    if "rehearse" in asked:
        answer["failure"] = rehearse.rehearse(steps)
    else:
        run(asked, steps, answer, told)
    if not asked.get("background"):
        answer["left"] = children()
    print(json.dumps(answer), flush=True)


main()
