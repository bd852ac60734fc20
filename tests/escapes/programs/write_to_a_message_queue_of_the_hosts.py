"""Send another process of the same user a message by its POSIX message queue."""

import os

from hostile import checked, libc

checked(libc.mq_send(checked(libc.mq_open(b"/escapes", os.O_WRONLY)), b"hostile", 7, 0))
