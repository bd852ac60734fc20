"""`up | down | sweep | probe`: a request as JSON on standard input, the answer as JSON on standard output."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, NoReturn, cast

from sandbox import syscalls

from .light import import_messages


def main() -> None:
    """Import, then read: whoever starts this early does not wait for what it imports."""
    verb, *pid = sys.argv[1:]
    if verb == "up":
        syscalls.die_with_parent(signal.SIGKILL)  # an orphan could take its successor's network away
    import_messages()
    try:
        from . import private, trials
    except ImportError as error:
        _answer({"cannot": f"cannot import pyroute2: {error}; install it: pip install pyroute2", "step": "import"}, 1)
    verbs = {"up": private.up, "down": private.down, "sweep": private.sweep}
    if verb == "probe":
        _answer({"rows": trials.try_each()}, 0)
    try:
        request = _request()
        if pid:
            request["pid"] = int(pid[0])
        answer = verbs[verb](request)
    except private.Cannot as cannot:
        _answer({"cannot": str(cannot), "step": cannot.step}, 1)
    _answer(answer, 0)


def _request() -> dict[str, Any]:
    request: Any
    try:
        request = json.load(sys.stdin)
    except ValueError as error:
        _answer({"cannot": f"cannot read the request: it is not JSON: {error}", "step": "read the request"}, 1)
    if not isinstance(request, dict):
        _answer({"cannot": "cannot read the request: it is not a JSON object", "step": "read the request"}, 1)
    return cast("dict[str, Any]", request)


def _answer(answer: dict[str, Any], status: int) -> NoReturn:
    try:
        print(json.dumps(answer), flush=True)
    except BrokenPipeError:  # whoever asked is dead, and the next one sweeps
        os._exit(status)  # what could not be written would be tried once more
    sys.exit(status)


if __name__ == "__main__":
    main()
