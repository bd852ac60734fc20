"""Read the kernel's log in /dev."""

import os

fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
while True:
    try:
        line = os.read(fd, 8192).decode(errors="replace")
    except BrokenPipeError:
        continue
    except BlockingIOError:
        break
    if "escapes: " in line:
        print(line)
