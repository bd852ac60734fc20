"""Run before everybody else, for as long as it likes."""

import os

from hostile import hold

os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
hold()
