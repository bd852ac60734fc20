"""Read the kernel's log by syslog."""

import ctypes

from hostile import checked, libc

SYSLOG_ACTION_READ_ALL = 3
text = ctypes.create_string_buffer(1 << 20)
length = checked(libc.klogctl(SYSLOG_ACTION_READ_ALL, text, len(text)))
print(text.raw[:length][-20000:].decode(errors="replace"))
