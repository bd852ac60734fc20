"""Exit statuses: public interface, the same in every command. Of a task's result: `thermos.core.state`."""

from __future__ import annotations

FAILED = 1
USAGE = 2
INVALID = 65  # the task file; this and the next three are those of sysexits.h
UNAVAILABLE = 69  # what the task asks for cannot be had here
BUG = 70
CANNOT_CREATE = 73
INTERRUPTED = 130
BROKEN_PIPE = 141
