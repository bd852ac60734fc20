"""Write to every descriptor that it was born with."""

import os

for fd in range(3, 1024):
    try:
        os.write(fd, b"hostile")
    except OSError:
        pass
