"""Have a child that is root in a user namespace of its own, by clone3, whose flags no filter can see."""

import os
import struct

from hostile import call, hold

CLONE_NEWUSER, SIGCHLD = 0x10000000, 17
arguments = struct.pack("11Q", CLONE_NEWUSER, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, 0)
child = call("clone3", arguments, len(arguments))
if child:
    os.waitpid(child, 0)
else:
    hold()
