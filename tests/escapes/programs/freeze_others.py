"""Freeze the processes of another group."""

from hostile import bait, hold, put

put(bait.file, bait.text, 0)
hold()
