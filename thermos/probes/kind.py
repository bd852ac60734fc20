"""The shape of a kind of health check: how one attempt is begun, and how it goes on without ever blocking.

A kind is a function `begin(check, run) -> Attempt`; `check` is what the task file says of it. The caller polls the
attempt's descriptor, calls `go_on` when it is ready, and gives up on it when its time is over.
"""

from __future__ import annotations

from thermos.config.wording import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable
    from typing import Any, Protocol

    Answer = tuple[bool, str]  # whether it is well, and why not

    class Attempt(Protocol):
        """One question. `aid`: the number of the command that answers it by its exit status, or 0."""

        aid: int
        over: bool  # its descriptor has nothing more to say

        def fileno(self) -> int: ...

        @property
        def wants_write(self) -> bool:
            """What the descriptor has to be ready for."""
            ...

        def go_on(self) -> Answer | None:
            """The descriptor is ready: the answer, or None where there is none yet."""
            ...

        def aided(self, status: int) -> Answer:
            """The command has ended with this wait status."""
            ...

        def close(self) -> None: ...

    class Run(Protocol):
        """What is asked about. `port`: the number of a port of the task by its name, or as it is written."""

        def port(self, name: str) -> int: ...

        def socket(self) -> socket:
            """For TCP, in the network that the run has. Raises OSError."""
            ...

        def start(self, argv: list[str], output: int) -> int:
            """Have a command executed beside it. Returns its number."""
            ...

    Kind = Callable[[Any, Run], Attempt]


LONGEST_ANSWER = 4096  # bytes of an answer or of an output that are looked at


def shortened(text: str) -> str:
    """What somebody answered, fit for a sentence on one line."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= 100 else line[:97] + "..."
