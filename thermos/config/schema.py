"""Every field of a task file: its kind and its default. The only place that knows them.

The words and the defaults are Thermos's. Besides what the core's structs hold there are `constraints`, which become
part of each process's `after`, `gpu`, which Thermos files carry as 0, and what is spelled out before anything here is
read (see `expansion`): `include`, `defaults`, `env_file`, `matrix`.
"""

from __future__ import annotations

from .kinds import (
    Awaited,
    Cores,
    Duration,
    Field,
    Flag,
    ListOf,
    Matrix,
    Name,
    Number,
    Port,
    Range,
    Record,
    Signal,
    Size,
    Text,
    Variables,
    Whole,
    Word,
)
from .rows import finish_check, finish_commands, finish_rule

COUNT = Whole(0, 2**31 - 1)
SECONDS = Duration(1e9)  # some thirty years
BYTES = Size(2**63 - 1)
NAME = Text(may_be_empty=False)
FILES = ListOf(Text(may_be_empty=False), "the name of a file or a list of them", or_one=True)

RESOURCES = Record(
    "resources",
    {
        "cpu": Field(Cores(0.01, 1e6)),  # cores; the kernel gives no less than 1 ms in 100
        "ram": Field(BYTES),
        "disk": Field(BYTES),
        "pids": Field(Whole(1, 2**22)),  # the most a kernel can number
        "gpu": Field(Whole(0, 0), 0),
    },
)

WITHIN = Record("a process's resources", {name: RESOURCES.fields[name] for name in ("cpu", "ram", "pids")})

STOP = Record(
    "the way to stop",
    {
        "signal": Field(Signal(), omit=True),
        "to": Field(Word({"all": "all", "group": "group", "main": "main"}), omit=True),
        "timeout": Field(SECONDS, omit=True),
        "command": Field(Text(may_be_empty=False), omit=True),
    },
)

BACKOFF = Record(
    "a back-off",
    {
        "initial": Field(SECONDS, omit=True),
        "factor": Field(Number(1, 1000), omit=True),
        "max": Field(SECONDS, omit=True),
        "jitter": Field(Number(0, 1), omit=True),
    },
)

CODES = Range(0, 255)
ENDS = Record(
    "the ends that a rule is about",
    {
        "code": Field(ListOf(CODES, "an exit code, a range of them, or a list", at_least=1, or_one=True), omit=True),
        "signal": Field(ListOf(Signal(), "a signal or a list of them", at_least=1, or_one=True), omit=True),
        "oom": Field(Flag(), omit=True),
        "unhealthy": Field(Flag(), omit=True),
        "uptime_under": Field(SECONDS, omit=True),
        "uptime_over": Field(SECONDS, omit=True),
    },
)

RULE = Record(
    "a restart rule",
    {
        "on": Field(ENDS, {}),
        "action": Field(Word({"restart": True, "fail": False}), "restart"),
        "backoff": Field(BACKOFF, omit=True),
        "budget": Field(COUNT, omit=True),
        "reset": Field(SECONDS, omit=True),
    },
    finish_rule,
)

PORT = Port()
HTTP = Record(
    "an HTTP check",
    {
        "port": Field(PORT, "http"),
        "path": Field(Text(may_be_empty=False), omit=True),
        "codes": Field(
            ListOf(Range(100, 599), "a status code, a range of them, or a list", at_least=1, or_one=True), omit=True
        ),
        "body": Field(Text(may_be_empty=False), omit=True),
    },
)
TCP = Record("a TCP check", {"port": Field(PORT, required=True)})
EXEC = Record(
    "a check by a command",
    {
        "cmdline": Field(Text(may_be_empty=False), omit=True),
        "argv": Field(ListOf(Text(), "a list of a program and its arguments", at_least=1), omit=True),
    },
)
HEALTH = Record(
    "a health check",
    {
        "http": Field(HTTP, omit=True),
        "tcp": Field(TCP, omit=True),
        "exec": Field(EXEC, omit=True),
        "initial_interval_secs": Field(SECONDS, omit=True),
        "interval_secs": Field(SECONDS, omit=True),
        "timeout_secs": Field(SECONDS, omit=True),
        "max_consecutive_failures": Field(COUNT, omit=True),
        "min_consecutive_successes": Field(Whole(1, 2**31 - 1), omit=True),
    },
    finish_check,
)

PROCESS = Record(
    "a process",
    {
        "name": Field(Name(), required=True),
        "cmdline": Field(Text()),
        "argv": Field(ListOf(Text(), "a list of a program and its arguments", at_least=1)),
        "max_failures": Field(COUNT, 1),
        "daemon": Field(Flag(), False),
        "ephemeral": Field(Flag(), False),
        "min_duration": Field(SECONDS, 5),
        "final": Field(Flag(), False),
        "after": Field(Awaited(), []),
        "success_codes": Field(
            ListOf(CODES, "an exit code, a range of them, or a list", at_least=1, or_one=True), omit=True
        ),
        "stop": Field(STOP, omit=True),
        "restart": Field(ListOf(RULE, "a restart rule or a list of them", or_one=True), omit=True),
        "health": Field(HEALTH, omit=True),
        "env": Field(Variables(), omit=True),
        "env_file": Field(FILES, omit=True),
        "cwd": Field(Text(may_be_empty=False), omit=True),
        "user": Field(NAME, omit=True),
        "resources": Field(WITHIN, omit=True),
        "matrix": Field(Matrix(), omit=True),
    },
    finish_commands,
)

NOT_SHARED = ("name", "env_file", "matrix")  # each process's own
DEFAULTS = Record(
    "the defaults of processes",
    {name: Field(field.kind, omit=True) for name, field in PROCESS.fields.items() if name not in NOT_SHARED},
    finish_commands,
)

CONSTRAINT = Record("a constraint", {"order": Field(ListOf(NAME, "a list of names of processes"), required=True)})

TASK = Record(
    "a task",
    {
        "name": Field(Name()),  # silence: the name of the first process
        "processes": Field(ListOf(PROCESS, "a list of at least one process", at_least=1), required=True),
        "max_failures": Field(COUNT, 1),
        "max_concurrency": Field(COUNT, 0),
        "finalization_wait": Field(SECONDS, 30),
        "user": Field(NAME),
        "resources": Field(RESOURCES, {}),
        "env": Field(Variables(), {}),
        "env_file": Field(FILES, omit=True),
        "include": Field(FILES, omit=True),
        "defaults": Field(DEFAULTS, omit=True),
        "constraints": Field(ListOf(CONSTRAINT, "a list of constraints"), []),
    },
)
