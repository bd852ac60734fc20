"""Write a command to a FIFO of the host's in /run."""

from hostile import put

put("/run/escapes.fifo", "hostile", 0)
