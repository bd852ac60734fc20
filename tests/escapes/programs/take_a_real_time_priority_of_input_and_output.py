"""Have the disk before everybody else."""

from hostile import call, hold

IOPRIO_WHO_PROCESS, REAL_TIME, SHIFT = 1, 1, 13
call("ioprio_set", IOPRIO_WHO_PROCESS, 0, REAL_TIME << SHIFT)
hold()
