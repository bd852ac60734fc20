"""Make a system call by int 0x80, where the numbers are others: unshare a user namespace."""

import ctypes
import mmap

from hostile import hold, libc

UNSHARE_OF_I386, CLONE_NEWUSER = 310, 0x10000000
code = b"\x53\xb8" + UNSHARE_OF_I386.to_bytes(4, "little") + b"\xbb" + CLONE_NEWUSER.to_bytes(4, "little")
code += b"\xcd\x80\x5b\xc3"  # push rbx; mov eax, ...; mov ebx, ...; int 0x80; pop rbx; ret
private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
page = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, private, -1, 0)
ctypes.memmove(page, code, len(code))
print(ctypes.CFUNCTYPE(ctypes.c_int)(page)())
hold()
