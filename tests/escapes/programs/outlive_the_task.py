"""Leave a process behind that has cut every tie to its task, and stays."""

import os
import sys
import time

if not os.fork():
    os.setsid()
    if not os.fork():
        sleep = "import time; time.sleep(30)"
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.chdir("/")
        os.execve("/usr/bin/python3", ["python3", "-I", "-S", "-c", sleep, sys.argv[-1]], {})
    os._exit(0)
os.wait()
time.sleep(0.1)
