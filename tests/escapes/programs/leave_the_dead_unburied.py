"""Leave 120 children unburied: each keeps its number."""

import os

from hostile import hold

try:
    for _ in range(120):
        if not os.fork():
            os._exit(0)
finally:
    hold()
