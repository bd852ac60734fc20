"""System calls that a process forbids itself, for good and for all that it starts: a profile -> a program -> installed.

    profile = default.profile(capabilities)            # or oci.read(text, "my.json", ...)
    text = program.program(profile, "x86_64")          # bytes, once
    install.install(text)                              # in the process, last thing before it executes something

The program is classic BPF (seccomp(2), "filter mode"), which the kernel runs before a call. Arguments are looked at
as numbers only, never through a pointer: what it leads to could change after the look.

Nothing is imported here: what installs a program is part of processes that must stay small.
"""


class UnknownMachine(Exception):
    """There are no tables for this machine: nothing can be forbidden."""
