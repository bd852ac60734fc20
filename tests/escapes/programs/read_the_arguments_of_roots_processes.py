"""Look for passwords in the arguments of all processes."""

import os

for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) != os.getpid():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            for word in file.read().split(b"\0"):
                if word.startswith(b"--password="):
                    print(word.decode())
