"""Look for passwords in the environment of all processes."""

import os

for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            for word in file.read().split(b"\0"):
                if word.startswith(b"PASSWORD"):
                    print(word.decode())
    except OSError as error:
        print(error)
