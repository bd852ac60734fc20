"""Make so many files in /tmp that nobody can make another, or 8,000 of them."""

import os

from hostile import hold

for number in range(8000):
    try:
        os.mknod(f"/tmp/{number}")
    except OSError:
        break
hold()
