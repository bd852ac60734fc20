"""Exit statuses: public interface, the same in every command."""

from __future__ import annotations

#: Of `run`, `wait` and `resume`, by the task's state when it has ended. 128 + a signal's number is a shell's way.
OF_RESULT = {"SUCCESS": 0, "FAILED": 1, "LOST": 137, "KILLED": 143}

FAILED = 1
USAGE = 2
INVALID = 65  # the task file; this and the next three are those of sysexits.h
UNAVAILABLE = 69  # what the task asks for cannot be had here
BUG = 70
CANNOT_CREATE = 73
INTERRUPTED = 130
BROKEN_PIPE = 141
