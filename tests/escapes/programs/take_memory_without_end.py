"""Take 128 MiB of memory."""

from hostile import hold

taken = []
for _ in range(128):
    taken.append(b"x" * (1 << 20))
hold()
