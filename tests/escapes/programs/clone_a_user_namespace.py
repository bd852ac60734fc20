"""Have a child that is root in a user namespace of its own, by clone."""

import os

from hostile import call, hold

CLONE_NEWUSER, SIGCHLD = 0x10000000, 17
child = call("clone", CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)
if child:
    os.waitpid(child, 0)
else:
    hold()
