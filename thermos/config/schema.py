"""Every field of a task file: its kind and its default. The only place that knows them.

The words and the defaults are Thermos's. Besides what the core's structs hold there are `constraints`, which become
part of each process's `after`, `gpu`, which Thermos files carry as 0, and what is spelled out before anything here is
read (see `expansion`): `include`, `defaults`, `env_file`, `matrix`.
"""

from __future__ import annotations

from .kinds import (
    ABSOLUTE,
    Awaited,
    Capability,
    Cores,
    Cpus,
    Duration,
    Field,
    Flag,
    ListOf,
    Matrix,
    Name,
    Number,
    Port,
    Range,
    Rate,
    Record,
    Rlimit,
    Shaped,
    Signal,
    Size,
    Text,
    Variables,
    Whole,
    Word,
)
from .rows import (
    finish_check,
    finish_commands,
    finish_io,
    finish_resources,
    finish_rule,
    finish_sandbox,
    finish_task,
    finish_volume,
)

COUNT = Whole(0, 2**31 - 1)
SECONDS = Duration(1e9)  # some thirty years
BYTES = Size(2**63 - 1)
NAME = Text(may_be_empty=False)
FILES = ListOf(Text(may_be_empty=False), "the name of a file or a list of them", or_one=True)

PATH = Shaped(ABSOLUTE, "an absolute path")
HOST = Shaped(r"[A-Za-z0-9][A-Za-z0-9.\-]{0,63}", "a host name of up to 64 letters, digits, dots and dashes")
CPU_LIST = Cpus()

IO = Record(
    "a limit of input and output",
    {
        "path": Field(PATH, required=True),
        "read": Field(BYTES, omit=True),
        "write": Field(BYTES, omit=True),
        "read_iops": Field(Whole(1, 2**31 - 1), omit=True),
        "write_iops": Field(Whole(1, 2**31 - 1), omit=True),
    },
    finish_io,
)

RESOURCES = Record(
    "resources",
    {
        "cpu": Field(Cores(0.01, 1e6)),  # cores; the kernel gives no less than 1 ms in 100
        "ram": Field(BYTES),
        "disk": Field(BYTES),
        "pids": Field(Whole(1, 2**22)),  # the most a kernel can number
        "gpu": Field(Whole(0, 0), 0),
        "cpu_weight": Field(Whole(1, 10000), omit=True),
        "cpu_burst": Field(Cores(0.001, 1e6), omit=True),
        "cpuset": Field(CPU_LIST, omit=True),
        "ram_low": Field(BYTES, omit=True),
        "ram_high": Field(BYTES, omit=True),
        "swap": Field(Size(2**63 - 1, low=0), omit=True),
        "io": Field(ListOf(IO, "a limit of input and output or a list of them", or_one=True), omit=True),
        "io_weight": Field(Whole(1, 10000), omit=True),
        "oom": Field(Word({"process": "process", "run": "run", "task": "task"}), omit=True),
        "egress": Field(Rate(), omit=True),
        "ingress": Field(Rate(), omit=True),
    },
    finish_resources,
)

OF_THE_TASK = ("disk", "gpu", "oom", "egress", "ingress")
WITHIN = Record(
    "a process's resources",
    {name: field for name, field in RESOURCES.fields.items() if name not in OF_THE_TASK},
    finish_resources,
)

_RLIMITS = "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack"
RLIMITS = Record("resource limits", {name: Field(Rlimit(), omit=True) for name in _RLIMITS.split()})

VOLUME = Record(
    "a volume",
    {
        "host_path": Field(PATH, required=True),
        "container_path": Field(PATH, required=True),
        "mode": Field(Word({"RO": True, "RW": False}), "RO"),
        "recursive": Field(Flag(), omit=True),
        "id_mapped": Field(Flag(), omit=True),
    },
    finish_volume,
)

PATHS = ListOf(PATH, "an absolute path or a list of them", or_one=True)
PORTS = ListOf(Whole(0, 65535), "a port or a list of them", or_one=True)
LANDLOCK = Record(
    "Landlock's rules",
    {
        "read": Field(PATHS, omit=True),
        "write": Field(PATHS, omit=True),
        "execute": Field(PATHS, omit=True),
        "bind": Field(PORTS, omit=True),
        "connect": Field(PORTS, omit=True),
        "scope": Field(
            ListOf(
                Word({"abstract_unix_socket": "abstract_unix_socket", "signal": "signal"}),
                "abstract_unix_socket, signal or a list of them",
                or_one=True,
            ),
            omit=True,
        ),
    },
)

NAMESPACES = Record(
    "namespaces",
    {name: Field(Flag(), omit=True) for name in ("pid", "mount", "ipc", "uts", "cgroup", "time", "user")},
)

SANDBOX = Record(
    "a sandbox",
    {
        "network": Field(Word({"host": "host", "none": "none", "private": "private"}), omit=True),
        "rootfs": Field(Text(may_be_empty=False), omit=True),
        "read_only": Field(Flag(), omit=True),
        "volumes": Field(ListOf(VOLUME, "a volume or a list of them", or_one=True), omit=True),
        "devices": Field(
            ListOf(Shaped("/dev/.+", "the path of a device"), "the path of a device or a list of them", or_one=True),
            omit=True,
        ),
        "tmp": Field(BYTES, omit=True),
        "shm": Field(BYTES, omit=True),
        "hostname": Field(HOST, omit=True),
        "hidepid": Field(Flag(), omit=True),
        "masks": Field(Flag(), omit=True),
        "namespaces": Field(NAMESPACES, omit=True),
        "seccomp": Field(Text(may_be_empty=False), omit=True),
        "landlock": Field(LANDLOCK, omit=True),
    },
    finish_sandbox,
)

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

#: What a process may ask for of what processes may do.
PRIVILEGES = {
    "capabilities": Field(ListOf(Capability(), "a capability or a list of them", or_one=True), omit=True),
    "rlimits": Field(RLIMITS, omit=True),
    "nice": Field(Whole(-20, 19), omit=True),
    "ionice": Field(
        Shaped("(?:idle|(?:best-effort|realtime)(?::[0-7])?)", "idle, best-effort:LEVEL or realtime:LEVEL, 0 to 7"),
        omit=True,
    ),
    "scheduler": Field(
        Shaped("(?:other|batch|idle|(?:fifo|rr):[1-9][0-9]?)", "other, batch, idle, fifo:1 to 99 or rr:1 to 99"),
        omit=True,
    ),
    "affinity": Field(CPU_LIST, omit=True),
    "oom_score_adj": Field(Whole(-1000, 1000), omit=True),
}

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
        **PRIVILEGES,
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
        "sandbox": Field(SANDBOX, omit=True),
        "env": Field(Variables(), {}),
        "env_file": Field(FILES, omit=True),
        "include": Field(FILES, omit=True),
        "defaults": Field(DEFAULTS, omit=True),
        "constraints": Field(ListOf(CONSTRAINT, "a list of constraints"), []),
    },
    finish_task,
)
