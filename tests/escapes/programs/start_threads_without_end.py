"""Start 120 threads."""

import threading

from hostile import hold

try:
    for _ in range(120):
        threading.Thread(target=hold, kwargs={"ready": False}).start()
finally:
    hold()
