"""Make a file immutable, so that its directory cannot be removed by who would clean up."""

import array
import fcntl
import os

FS_IOC_SETFLAGS, FS_IMMUTABLE_FL = 0x40086602, 0x10
fcntl.ioctl(os.open("for-ever", os.O_RDONLY | os.O_CREAT), FS_IOC_SETFLAGS, array.array("l", [FS_IMMUTABLE_FL]))
