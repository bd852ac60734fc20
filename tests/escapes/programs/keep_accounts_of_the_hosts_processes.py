"""Have the kernel write down what every process does."""

import os

from hostile import bait, checked, libc

checked(libc.acct(bait.file.encode()))
if not os.fork():
    os._exit(0)
os.wait()
