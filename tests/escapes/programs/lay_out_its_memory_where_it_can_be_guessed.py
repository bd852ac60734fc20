"""Switch off what makes addresses hard to guess, for itself and all that it starts."""

from hostile import checked, hold, libc

ADDR_NO_RANDOMIZE = 0x0040000
checked(libc.personality(ADDR_NO_RANDOMIZE))
hold()
