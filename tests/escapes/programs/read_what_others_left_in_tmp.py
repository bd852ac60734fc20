"""Read what somebody else has left in /tmp."""

from hostile import bait

with open(bait.file) as file:
    print(file.read())
