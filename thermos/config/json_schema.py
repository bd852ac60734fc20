"""The task language as a JSON Schema (draft 2020-12), made from the table in `schema`, for editors and other programs.

It says what each value by itself may be. What holds between values (names that must exist, circles, duplicates) it
cannot say; findings about those are marked as a `relation`.
"""

from __future__ import annotations

from . import kinds, units
from .matrix import AXIS, MOST_COPIES
from .schema import (
    BACKOFF,
    CONSTRAINT,
    DEFAULTS,
    ENDS,
    EXEC,
    HEALTH,
    HTTP,
    IO,
    LANDLOCK,
    NAMESPACES,
    PROCESS,
    RESOURCES,
    RLIMITS,
    RULE,
    SANDBOX,
    STOP,
    TASK,
    TCP,
    VOLUME,
    WITHIN,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .kinds import Kind, Record

    Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
NULL = {"type": "null"}
TEMPLATE = {"type": "string", "pattern": kinds.TEMPLATE}
SOME_TEXT = {"type": "string", "minLength": 1}

_RESOURCES_TEXTS = {
    "cpu": "Cores, such as 1.5 or '500m'.",
    "ram": "Memory in bytes, or such as '256MiB'.",
    "disk": "Disk in bytes, or such as '1GB'.",
    "pids": "Processes and threads.",
    "gpu": "Always 0.",
    "cpu_weight": "Its part of busy processors, against others': 1 to 10000; without it 100.",
    "cpu_burst": "Cores that it may use for a moment on top of cpu, as far as it has not used that before.",
    "cpuset": "The processors it may run on, such as '0-2,5'.",
    "ram_low": "Memory that is taken from it last.",
    "ram_high": "Memory above which it is slowed down.",
    "swap": "Swap in bytes, besides ram.",
    "io": "What it may read and write a second.",
    "io_weight": "Its part of busy disks, against others': 1 to 10000.",
    "oom": "What dies where memory is short: a process, its run, or the task.",
    "egress": "Bits a second that it may send, such as '20Mbit'; with a private network.",
    "ingress": "Bits a second that it may receive.",
}

_RLIMITS_TEXTS = {
    "as": "Bytes of address space.",
    "core": "Bytes of a core file.",
    "cpu": "Seconds of processor time.",
    "data": "Bytes of data.",
    "fsize": "Bytes of a file it writes.",
    "locks": "File locks.",
    "memlock": "Bytes locked in memory.",
    "msgqueue": "Bytes in message queues.",
    "nice": "20 less the least niceness.",
    "nofile": "One more than the largest file descriptor.",
    "nproc": "Processes of its user.",
    "rss": "Bytes in memory; Linux ignores it.",
    "rtprio": "The highest priority in real time.",
    "rttime": "Microseconds in real time without a rest.",
    "sigpending": "Signals that wait.",
    "stack": "Bytes of stack.",
}

_PROCESS_TEXTS = {
    "name": "Its name, unique in the task.",
    "cmdline": "What it runs: a text for /bin/bash -c.",
    "argv": "What it runs: a program and its arguments, without a shell.",
    "max_failures": "Failures that make it failed for good; 0: tried without end.",
    "daemon": "Success does not end it: it runs again.",
    "ephemeral": "The task does not wait for it, nor fails with it.",
    "min_duration": "Seconds between the end of a run and the beginning of the next.",
    "final": "A finalizer: it runs when all others have ended, however they ended.",
    "after": "What it waits for: names (their success), or a mapping of names to conditions.",
    "success_codes": "Exit codes that are a success; without it 0.",
    "stop": "How a run of it is asked to end.",
    "restart": "What becomes of it after certain ends; the first rule that fits decides.",
    "health": "How to see whether a run does what it is there for.",
    "env": "Variables of its own, over the task's.",
    "env_file": "Files of NAME=VALUE lines, beneath env; relative to this file.",
    "cwd": "Its directory, from the sandbox.",
    "user": "Who it runs as; without it the task's user.",
    "resources": "Limits of its own, within the task's.",
    "capabilities": "Capabilities it has, by name; without it a few for root, and none for others.",
    "rlimits": "Limits of setrlimit(2).",
    "nice": "Its niceness, -20 to 19.",
    "ionice": "Its scheduling class for input and output.",
    "scheduler": "Its scheduling policy.",
    "affinity": "The processors it may run on.",
    "oom_score_adj": "How likely the kernel is to choose it where memory is short, -1000 to 1000.",
    "matrix": "Names and their values: one copy of the process for each combination, {{matrix.NAME}} in its texts.",
}

#: A name for each record, and a line about each of its fields.
RECORDS: dict[str, tuple[Record, dict[str, str]]] = {
    "task": (
        TASK,
        {
            "name": "Its name; without it the first process's.",
            "processes": "The processes, at least one.",
            "max_failures": "Processes that may fail for good before the task does; 0: any number.",
            "max_concurrency": "Processes that may run at a time; 0: no limit.",
            "finalization_wait": "Seconds from the end's beginning to the last SIGKILL.",
            "user": "Who the processes run as; without it who runs the task.",
            "resources": "Limits of the whole task.",
            "sandbox": "What the task sees of the host, and what it may do.",
            "env": "Variables of every process.",
            "env_file": "Files of NAME=VALUE lines, beneath env; relative to this file.",
            "include": "Task files that lie beneath this one; relative to this file.",
            "defaults": "Fields of every process that does not give them itself.",
            "constraints": "Orders: each process after the one before it.",
        },
    ),
    "process": (PROCESS, _PROCESS_TEXTS),
    "defaults": (DEFAULTS, _PROCESS_TEXTS),
    "resources": (RESOURCES, _RESOURCES_TEXTS),
    "process_resources": (WITHIN, {name: _RESOURCES_TEXTS[name] for name in WITHIN.fields}),
    "io": (
        IO,
        {
            "path": "A directory, a file or a device: the disk it is on.",
            "read": "Bytes read a second.",
            "write": "Bytes written a second.",
            "read_iops": "Reads a second.",
            "write_iops": "Writes a second.",
        },
    ),
    "rlimits": (RLIMITS, _RLIMITS_TEXTS),
    "sandbox": (
        SANDBOX,
        {
            "network": "host, none (but its own loopback), or private (an address of its own behind the host's).",
            "rootfs": "Its root: a directory, an archive, or an image; without it the host's files.",
            "read_only": "Whether all but its own directories and volumes can only be read; without it true, with a "
            "rootfs false.",
            "volumes": "Directories and files of the host.",
            "devices": "Devices besides null, zero, full, random, urandom, tty and terminals.",
            "tmp": "The size of /tmp and of /var/tmp.",
            "shm": "The size of /dev/shm.",
            "hostname": "Its name for the host.",
            "hidepid": "Whether users see only their own processes in /proc.",
            "masks": "Whether what the kernel tells of the host in /proc and /sys is hidden, and cannot be changed.",
            "namespaces": "Namespaces that it does not want, or wants besides.",
            "seccomp": "default, unconfined, or a file with a profile in OCI's form: which system calls there are.",
            "landlock": "What may be reached at all, by Landlock.",
        },
    ),
    "volume": (
        VOLUME,
        {
            "host_path": "Where it is.",
            "container_path": "Where the task sees it.",
            "mode": "RO or RW.",
            "recursive": "Whether with what is mounted below it; without it true.",
            "id_mapped": "Whether ids on the disk are those of the user namespace.",
        },
    ),
    "namespaces": (
        NAMESPACES,
        {
            "pid": "Its own processes; without it true.",
            "mount": "Its own view of files; without it true.",
            "ipc": "Its own System V IPC and message queues; without it true.",
            "uts": "Its own host name; without it true.",
            "cgroup": "Its own view of control groups; without it true.",
            "time": "Its own clocks since boot; without it false.",
            "user": "Its own user ids; without it false.",
        },
    ),
    "landlock": (
        LANDLOCK,
        {
            "read": "Paths below which it may read.",
            "write": "Paths below which it may write.",
            "execute": "Paths below which it may execute.",
            "bind": "TCP ports it may listen on.",
            "connect": "TCP ports it may connect to.",
            "scope": "What does not reach out of it.",
        },
    ),
    "stop": (
        STOP,
        {
            "signal": "The signal, by name or number; without it TERM.",
            "to": "Who gets it: all of the run (as without it), its process group, or its main process.",
            "timeout": "Seconds until SIGKILL; without it what the task has left.",
            "command": "Run by bash beside it, instead of a signal.",
        },
    ),
    "restart_rule": (
        RULE,
        {
            "on": "The ends it is about: everything said must hold.",
            "action": "restart, or fail: it has failed for good.",
            "backoff": "The wait before a restart; without it min_duration, longer after each failure.",
            "budget": "Restarts by this rule, after which it has failed for good.",
            "reset": "Seconds of a run that give the whole budget back; without it 60.",
        },
    ),
    "ends": (
        ENDS,
        {
            "code": "Exit codes, or ranges such as '10-20'.",
            "signal": "Signals that killed it.",
            "oom": "Whether it ran out of memory.",
            "unhealthy": "Whether it was stopped because its health check failed.",
            "uptime_under": "It ran for less than these seconds.",
            "uptime_over": "It ran for at least these seconds.",
        },
    ),
    "backoff": (
        BACKOFF,
        {
            "initial": "Seconds before the first restart; without it 0.",
            "factor": "How many times as long each wait is as the one before; without it 2.",
            "max": "The longest wait in seconds; without it 60.",
            "jitter": "The part of a wait that is left to chance, 0 to 1; without it 0.",
        },
    ),
    "health": (
        HEALTH,
        {
            "http": "Asks a URL.",
            "tcp": "Connects to a port.",
            "exec": "Runs a command, which exits with 0.",
            "initial_interval_secs": "Seconds in which failures are forgiven; without it 15.",
            "interval_secs": "Seconds between checks; without it 10.",
            "timeout_secs": "Seconds that a check may take; without it 1.",
            "max_consecutive_failures": "Failures in a row that are forgiven; without it 0.",
            "min_consecutive_successes": "Successes in a row that make it healthy; without it 1.",
        },
    ),
    "http_check": (
        HTTP,
        {
            "port": "A port of the task, by its name, or a number.",
            "path": "The path; without it /health.",
            "codes": "Status codes that are healthy; without it 200-399.",
            "body": "What the answer has to be, but for case and the space around it.",
        },
    ),
    "tcp_check": (TCP, {"port": "A port of the task, by its name, or a number."}),
    "exec_check": (
        EXEC,
        {"cmdline": "A text for /bin/bash -c.", "argv": "A program and its arguments, without a shell."},
    ),
    "constraint": (CONSTRAINT, {"order": "Names of processes: each comes after the one before it."}),
}


def document() -> Schema:
    """The whole schema."""
    definitions = {name: _record(record, texts) for name, (record, texts) in RECORDS.items()}
    _add_what_holds_between_fields(definitions)
    return {
        "$schema": DRAFT,
        "title": "A task of Thermos",
        "description": "A graph of processes on one host, and what holds for all of them.",
        **definitions.pop("task"),
        "$defs": definitions,
    }


def _record(record: Record, texts: dict[str, str]) -> Schema:
    properties: Schema = {}
    for name, field in record.fields.items():
        its = schema_of(field.kind)
        if field.omit or (field.default is None and not field.required):
            its = _one_of(its, NULL)
        properties[name] = {"description": texts[name], **its}
        if field.default is not None:
            properties[name]["default"] = field.default
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [name for name, field in record.fields.items() if field.required]
    return {**schema, "required": required} if required else schema


def _add_what_holds_between_fields(definitions: dict[str, Schema]) -> None:
    task = definitions["task"]
    del task["required"]
    task["anyOf"] = [{"required": ["processes"]}, _given("include")]
    both = {"allOf": [_given("cmdline"), _given("argv")]}
    for name in ("process", "defaults"):
        definitions[name]["not"] = both
        definitions[name]["properties"]["argv"]["anyOf"][0]["prefixItems"] = [SOME_TEXT]
    definitions["exec_check"]["oneOf"] = [_given("cmdline"), _given("argv")]
    definitions["health"]["oneOf"] = [_given("http"), _given("tcp"), _given("exec")]
    definitions["restart_rule"]["if"] = {"properties": {"action": {"const": "fail"}}, "required": ["action"]}
    definitions["restart_rule"]["then"] = {"properties": {"budget": NULL, "backoff": NULL}}


def _given(name: str) -> Schema:
    return {"required": [name], "properties": {name: {"not": NULL}}}


def schema_of(kind: Kind) -> Schema:
    """What a value of a kind may be in a file."""
    return KINDS[type(kind)](kind)


def _one_of(*schemas: Schema) -> Schema:
    """Any of some schemas, those that are such a choice themselves taken apart."""
    flat = [part for schema in schemas for part in (schema["anyOf"] if schema.keys() == {"anyOf"} else [schema])]
    return {"anyOf": flat}


def _matching(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


def _text(kind: kinds.Text) -> Schema:
    return {"type": "string"} if kind.may_be_empty else SOME_TEXT


def _record_by_name(kind: Record) -> Schema:
    return {"$ref": next(f"#/$defs/{name}" for name, (record, _) in RECORDS.items() if record is kind)}


def _list(kind: kinds.ListOf) -> Schema:
    item = schema_of(kind.item)
    several: Schema = {"type": "array", "items": item}
    if kind.at_least:
        several["minItems"] = kind.at_least
    return _one_of(item, several) if kind.or_one else several


def _awaited(_: kinds.Awaited) -> Schema:
    log = {"type": "object", "properties": {"log": SOME_TEXT}, "required": ["log"], "additionalProperties": False}
    log["description"] = "A regular expression that a line of its output has to match."
    condition = {"anyOf": [{"enum": list(kinds.CONDITIONS)}, log, TEMPLATE]}
    return _one_of(
        SOME_TEXT,
        {"type": "array", "items": SOME_TEXT},
        {"type": "object", "additionalProperties": condition},
    )


def _matrix(_: kinds.Matrix) -> Schema:
    value = _one_of(SOME_TEXT, {"type": "integer"})
    axis = _one_of(
        {"type": "integer", "minimum": 1, "maximum": MOST_COPIES},
        {"type": "array", "items": value, "minItems": 1},
        TEMPLATE,
    )
    excluded = {
        "description": "Combinations to leave out: each entry names values of some of the axes.",
        "anyOf": [
            {"type": "array", "items": {"type": "object", "minProperties": 1, "additionalProperties": value}},
            NULL,
        ],
    }
    return {
        "type": "object",
        "properties": {"exclude": excluded},
        "additionalProperties": axis,
        "propertyNames": {"pattern": f"^{AXIS}$"},
        "if": {"required": ["exclude"]},
        "then": {"minProperties": 2},
        "else": {"minProperties": 1},
    }


_VARIABLES = {
    "type": "object",
    "propertyNames": {"pattern": r"^(?![\s\S]*\{\{)[^=]+$"},
    "additionalProperties": {"type": "string"},
}
_SIGNALS = [*kinds.SIGNALS, *(f"SIG{name}" for name in kinds.SIGNALS)]


def _number(type: str, kind: kinds.Whole | kinds.Number, *others: Schema) -> Schema:
    return _one_of({"type": type, "minimum": kind.low, "maximum": kind.high}, *others, TEMPLATE)


KINDS: dict[type, Callable[[Any], Schema]] = {
    kinds.Text: _text,
    kinds.Pattern: lambda _: {**SOME_TEXT, "format": "regex"},
    kinds.Name: lambda _: _one_of(_matching(kinds.NAME), TEMPLATE),
    kinds.Flag: lambda _: _one_of({"type": "boolean"}, TEMPLATE),
    kinds.Whole: lambda kind: _number("integer", kind),
    kinds.Number: lambda kind: _number("number", kind),
    kinds.Cores: lambda kind: _number("number", kind, _matching(units.CORES)),
    kinds.Duration: lambda kind: _one_of(
        {"type": "number", "minimum": 0, "maximum": kind.high}, _matching(units.DURATION), TEMPLATE
    ),
    kinds.Shaped: lambda kind: _one_of(_matching(kind.pattern), TEMPLATE),
    kinds.Cpus: lambda kind: _one_of(_matching(kind.pattern), TEMPLATE),
    kinds.Capability: lambda kind: _one_of({"enum": list(kind.meanings)}, TEMPLATE),
    kinds.Rlimit: lambda _: _one_of(
        {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}, _matching(kinds.RLIMIT), TEMPLATE
    ),
    kinds.Rate: lambda _: _one_of(
        {"type": "integer", "minimum": units.SLOWEST, "maximum": 2**40}, _matching(units.RATE), TEMPLATE
    ),
    kinds.Size: lambda kind: _one_of(
        {"type": "integer", "minimum": kind.low, "maximum": kind.high}, _matching(units.SIZE), TEMPLATE
    ),
    kinds.Word: lambda kind: _one_of({"enum": list(kind.meanings)}, TEMPLATE),
    kinds.Signal: lambda _: _one_of(
        {"enum": _SIGNALS}, {"type": "integer", "minimum": 1, "maximum": kinds.LAST_SIGNAL}, TEMPLATE
    ),
    kinds.Range: lambda kind: _number("integer", kind, _matching(kinds.RANGE)),
    kinds.Port: lambda _: _one_of(
        {"type": "integer", "minimum": 1, "maximum": 65535}, _matching(kinds.PORT_NAME), TEMPLATE
    ),
    kinds.Variables: lambda _: _VARIABLES,
    kinds.Awaited: _awaited,
    kinds.Matrix: _matrix,
    kinds.ListOf: _list,
    kinds.Record: _record_by_name,
}
