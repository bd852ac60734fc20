"""Make what thermos would find where the next task is to be."""

from hostile import bait, put

put(bait.file, "hostile")
