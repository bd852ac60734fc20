"""Look for the process that started it, enter its mount namespace, and write there."""

import os

from hostile import bait, checked, libc, put

found = [str(os.getppid())]
for pid in filter(str.isdigit, os.listdir("/proc")):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        if b"thermos" in file.read():
            found.append(pid)
for pid in found:
    try:
        checked(libc.setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), 0))
        put(bait.file, "hostile")
    except OSError as error:
        print(error)
