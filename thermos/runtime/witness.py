"""Asks the observers of a root about a process that is gone: one that saw it alive may hold a pidfd of it.

Only the lightest modules: the keeper imports it.
"""

from __future__ import annotations

import _socket
import os
import struct
import time

from thermos import paths

#: Seconds that each observer of a root is waited for.
_PATIENCE = 1.0
_UCRED = struct.Struct("iII")  # struct ucred: pid, uid, gid

#: Sockets whose observer did not answer in time: it is not waited for again.
_silent: set[str] = set()


def ask(root: str, task_id: str, pid: int, ticks: int) -> int:
    """A pidfd of a process that has ended, opened by an observer while it was there; -1: nobody has one.

    `ticks`: its start time, field 22 of /proc/PID/stat. Whose pidfd it is cannot be seen any more once the process
    has been reaped, so only observers of root and of this user are believed. Each may take a second; raises nothing.
    """
    try:
        question = f"{task_id} {pid} {ticks} {os.stat('/proc/self/ns/pid').st_ino}".encode()
        directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return -1
    try:
        for name in os.listdir(directory):
            if name.startswith(paths.WITNESS) and name not in _silent:
                # Through /proc it is short enough for a socket's path, however long the root's is.
                pidfd = _ask(f"/proc/self/fd/{directory}/{name}", name, question, time.monotonic() + _PATIENCE)
                if pidfd >= 0:
                    return pidfd
    except OSError:
        pass
    finally:
        os.close(directory)
    return -1


def _ask(path: str, name: str, question: bytes, last: float) -> int:
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(max(last - time.monotonic(), 0))
        connection.connect(path)
        _, uid, _ = _UCRED.unpack(connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _UCRED.size))
        if uid not in (0, os.geteuid()):
            return -1
        connection.send(question)
        connection.settimeout(max(last - time.monotonic(), 0))
        _, beside, _, _ = connection.recvmsg(16, _socket.CMSG_LEN(4), _socket.MSG_CMSG_CLOEXEC)
    except TimeoutError:
        _silent.add(name)
        return -1
    except OSError:
        return -1
    finally:
        connection.close()
    for level, kind, packed in beside:
        if (level, kind, len(packed)) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, 4):
            return int.from_bytes(packed, "little")
    return -1
