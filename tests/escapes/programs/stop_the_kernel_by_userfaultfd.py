"""Handle its own page faults, with which it can stop the kernel in the middle of a call."""

from hostile import call, hold

USER_MODE_ONLY = 1
call("userfaultfd", USER_MODE_ONLY)
hold()
