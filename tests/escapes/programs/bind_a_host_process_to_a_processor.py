"""Leave another process of the same user a single processor, and that only when nobody else wants it."""

import os

from hostile import bait

pid = int(bait.pid)
os.sched_setaffinity(pid, {min(os.sched_getaffinity(pid))})
os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
