"""Write a setting of a device in /sys."""

from hostile import bait, put

put(bait.file, "64", 0)
