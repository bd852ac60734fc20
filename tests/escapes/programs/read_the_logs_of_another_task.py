"""Read what a process of another task has written."""

from hostile import bait

with open(bait.file) as file:
    print(file.read())
