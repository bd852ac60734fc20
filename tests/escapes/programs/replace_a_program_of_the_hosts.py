"""Put a program where everybody on the host looks for programs."""

from hostile import bait, put

put(bait.file, "hostile")
