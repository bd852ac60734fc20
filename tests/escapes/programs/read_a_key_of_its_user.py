"""Read a key in the keyring of its user, which all processes of that user share."""

import ctypes

from hostile import bait, call

KEYCTL_SEARCH, KEYCTL_READ, USER = 10, 11, -4
text = ctypes.create_string_buffer(64)
key = call("keyctl", KEYCTL_SEARCH, USER, b"user", bait.description.encode(), 0)
call("keyctl", KEYCTL_READ, key, text, 64)
print(text.value.decode())
