"""Read a key in the session keyring that it inherits."""

import ctypes

from hostile import call

KEYCTL_SEARCH, KEYCTL_READ, SESSION = 10, 11, -3
text = ctypes.create_string_buffer(64)
key = call("keyctl", KEYCTL_SEARCH, SESSION, b"user", b"escapes-of-session", 0)
call("keyctl", KEYCTL_READ, key, text, 64)
print(text.value.decode())
