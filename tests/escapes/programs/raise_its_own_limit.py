"""Raise the limit of memory of its own group, and of those above it."""

import os

from hostile import bait, put

with open("/proc/self/cgroup") as file:
    groups = [line.rstrip("\n").split(":", 2) for line in file]
for _, controllers, path in groups:
    if controllers not in ("", "memory"):
        continue
    # Its own, which a cgroup namespace calls "/", and then up to the bait and no further: what is above that is the
    # machine's, and there the same write would lower a limit.
    above = [path]
    while bait.top in os.path.dirname(above[-1]):
        above.append(os.path.dirname(above[-1]))
    for group in above:
        for name in ("memory.limit_in_bytes", "memory.max"):
            for mounted in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
                try:
                    put(f"{mounted}{group.rstrip('/')}/{name}", bait.limit, 0)
                except OSError as error:
                    print(error)
