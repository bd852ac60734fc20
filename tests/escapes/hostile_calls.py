"""Keys of the kernel's keyrings, for baits: keyctl(2) and add_key(2), which Python has no function for."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

_libc = ctypes.CDLL(None, use_errno=True)
_ADD_KEY, _KEYCTL = (217, 219) if os.uname().machine == "aarch64" else (248, 250)
_JOIN_SESSION_KEYRING, _SETPERM, _LINK, _SEARCH, _INVALIDATE = 1, 5, 8, 10, 21
_SESSION, _USER = -3, -4
_ALL_OF_POSSESSOR_AND_OWNER = 0x3F3F0000


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def join_session_keyring() -> None:
    """A new session keyring for this process."""
    _call(_KEYCTL, _JOIN_SESSION_KEYRING, None)


def add_key(description: str, secret: str) -> int:
    """In the session keyring. Its owner may do everything with it, also without possessing it."""
    key = _call(_ADD_KEY, b"user", description.encode(), secret.encode(), len(secret), _SESSION)
    _call(_KEYCTL, _SETPERM, key, _ALL_OF_POSSESSOR_AND_OWNER)
    return key


@contextlib.contextmanager
def user_keyring(uid: int, description: str, secret: str) -> Iterator[None]:
    """A key in the keyring of a user, as long as this lasts."""

    def as_the_user(do: str) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                join_session_keyring()
                if do == "add":
                    _call(_KEYCTL, _LINK, add_key(description, secret), _USER)
                else:
                    _call(_KEYCTL, _INVALIDATE, _call(_KEYCTL, _SEARCH, _USER, b"user", description.encode(), 0))
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0

    as_the_user("add")
    try:
        yield
    finally:
        as_the_user("remove")
