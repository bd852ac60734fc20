"""Put a network up and fail, or die, before its Nth step: `up N fail|die` with the request on standard input.

Prints the step it came to, or nothing if there are not that many.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from sandbox.network import private

verb, number, how = sys.argv[1:]
left = int(number)


def reached(step: str) -> None:
    global left
    left -= 1
    if left == 0:
        print(step, flush=True)
        if how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(5, "as the test asks")


request = json.load(sys.stdin)
try:
    {"up": private.up, "down": private.down}[verb](request, reached)
except private.Cannot as cannot:
    if "as the test asks" not in str(cannot):
        raise
