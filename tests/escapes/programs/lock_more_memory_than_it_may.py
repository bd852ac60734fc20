"""Keep 32 MiB of memory from ever being paged out."""

import ctypes
import mmap

from hostile import checked, hold, libc

SIZE = 32 << 20
page = libc.mmap(None, SIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
checked(libc.mlock(ctypes.c_void_p(page), ctypes.c_size_t(SIZE)))
hold()
