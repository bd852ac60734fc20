"""Fork children until there are 120 of them."""

import os

from hostile import hold

try:
    for _ in range(120):
        if not os.fork():
            hold(ready=False)
            os._exit(0)
finally:
    hold()
