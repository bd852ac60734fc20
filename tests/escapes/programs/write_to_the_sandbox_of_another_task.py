"""Write to the working directory of another task of the same user."""

from hostile import bait, put

put(bait.file, "hostile")
