"""Every field of a task file: its kind and its default. The only place that knows them.

The words and the defaults are Thermos's. Besides what the core's structs hold there are `constraints`, which become
part of each process's `after`, and `gpu`, which Thermos files carry as 0.
"""

from __future__ import annotations

from .kinds import Duration, Field, Flag, ListOf, Number, Record, Size, Text, Variables, Whole

COUNT = Whole(0, 2**31 - 1)
SECONDS = Duration(1e9)  # some thirty years
BYTES = Size(2**63 - 1)
NAME = Text(may_be_empty=False)

RESOURCES = Record(
    "resources",
    {
        "cpu": Field(Number(0.01, 1e6)),  # cores; the kernel gives no less than 1 ms in 100
        "ram": Field(BYTES),
        "disk": Field(BYTES),
        "pids": Field(Whole(1, 2**22)),  # the most a kernel can number
        "gpu": Field(Whole(0, 0), 0),
    },
)

PROCESS = Record(
    "a process",
    {
        "name": Field(NAME, required=True),
        "cmdline": Field(Text()),
        "argv": Field(ListOf(Text(), "a list of a program and its arguments", at_least=1)),
        "max_failures": Field(COUNT, 1),
        "daemon": Field(Flag(), False),
        "ephemeral": Field(Flag(), False),
        "min_duration": Field(SECONDS, 5),
        "final": Field(Flag(), False),
        "after": Field(ListOf(NAME, "the name of a process or a list of them", or_one=True), []),
    },
)

CONSTRAINT = Record("a constraint", {"order": Field(ListOf(NAME, "a list of names of processes"), required=True)})

TASK = Record(
    "a task",
    {
        "name": Field(NAME),  # silence: the name of the first process
        "processes": Field(ListOf(PROCESS, "a list of at least one process", at_least=1), required=True),
        "max_failures": Field(COUNT, 1),
        "max_concurrency": Field(COUNT, 0),
        "finalization_wait": Field(SECONDS, 30),
        "user": Field(NAME),
        "resources": Field(RESOURCES, {}),
        "env": Field(Variables(), {}),
        "constraints": Field(ListOf(CONSTRAINT, "a list of constraints"), []),
    },
)
