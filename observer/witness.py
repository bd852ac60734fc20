"""Keeps a pidfd of every run that runs, and hands it to a keeper that finds its process gone.

Where supervisor and keeper were both killed, nobody who lives has waited for what ended then. But whoever opened a
pidfd while the process was there can still ask the kernel how it ended (Linux 6.15), and so can whoever is given it.
Nothing here polls: the end of a process wakes nobody, and a descriptor is let go when the journal tells the end.

Each observer of a root has a socket of its own there, where it may write. One that was killed leaves a dead socket
behind; the next observer removes it.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import struct

import structlog

from sandbox.usage import start_ticks
from thermos import paths

from .tasks import Observed

_UCRED = struct.Struct("iII")  # struct ucred: pid, uid, gid
_Identity = tuple[int, int]  # pid, start time in ticks


class Witness:
    """`answer` when `fileno` is readable. Of one boot and one pid namespace: those it was made in."""

    def __init__(self, most: int) -> None:
        """`most`: pidfds it may hold at a time."""
        self._most = most
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            self._boot_id = file.read().strip()
        self._pid_namespace = os.stat("/proc/self/ns/pid").st_ino
        self._count = 0
        self._held: dict[tuple[str, str], dict[_Identity, int]] = {}  # root, task id -> pidfds
        self._epoll = select.epoll()
        self._places: dict[str, _Place] = {}  # root -> where it may be asked
        self._deaf: set[str] = set()  # roots where it may not make a socket
        self._listening: dict[int, tuple[str, socket.socket]] = {}  # descriptor -> root, socket
        self._asking: dict[int, tuple[str, socket.socket]] = {}  # the same, of those who have not yet asked

    def fileno(self) -> int:
        return self._epoll.fileno()

    def see(self, task: Observed) -> None:
        """Take in what a task's journal says: hold what runs, let go of what has ended."""
        key = (task.root, task.task_id)
        running = set[_Identity]()
        if task.boot_id == self._boot_id:
            running.update((run.pid, run.ticks) for run in task.running() if run.pid and run.ticks)
        held = self._held.get(key, {})
        if not task.error:  # else the journal may know of more than could be read
            for gone in held.keys() - running:
                self._let_go(held.pop(gone))
        fresh = running - held.keys()
        if fresh and self._listens(task.root):
            for new in fresh:
                if self._count < self._most and (pidfd := _pidfd_of(*new)) >= 0:
                    self._count += 1
                    held[new] = pidfd
        if held:
            self._held[key] = held
        else:
            self._held.pop(key, None)

    def forget(self, task: Observed) -> None:
        """The task has ended or is gone; or it is only looked for again, and then everything is kept."""
        if task.ended or not os.path.isdir(task.directory):
            for pidfd in self._held.pop((task.root, task.task_id), {}).values():
                self._let_go(pidfd)

    def answer(self) -> None:
        """Whoever asks gets the pidfd, or a no."""
        for fd, _ in self._epoll.poll(0):
            if fd in self._listening:
                self._accept(*self._listening[fd])
            elif fd in self._asking:
                self._reply(*self._asking.pop(fd))

    def close(self) -> None:
        for place in self._places.values():
            place.close()
        for _, connection in self._asking.values():
            connection.close()
        for held in self._held.values():
            for pidfd in held.values():
                self._let_go(pidfd)
        self._held.clear()
        self._epoll.close()

    def _let_go(self, pidfd: int) -> None:
        os.close(pidfd)
        self._count -= 1

    def _listens(self, root: str) -> bool:
        """Have a socket in the root, which may be another directory by now. False: nobody can ask there."""
        old = self._places.get(root)
        if old is not None and old.stands():
            return True
        if old is not None:
            del self._listening[old.listener.fileno()]
            old.close()
            del self._places[root]
        try:
            place = _Place(root)
        except OSError as error:
            if root not in self._deaf:
                self._deaf.add(root)
                why = f"cannot make a socket in {root}: {error.strerror}; no keeper can ask how its processes ended"
                structlog.get_logger().warning("of no help after a crash", why=why)
            return False
        self._places[root] = place
        self._listening[place.listener.fileno()] = root, place.listener
        # Each connection is told once: one that cannot be accepted for want of descriptors must not wake us for ever.
        self._epoll.register(place.listener, select.EPOLLIN | select.EPOLLET)
        return True

    def _accept(self, root: str, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setblocking(False)
            _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            if uid not in (0, os.geteuid()):
                connection.close()
                continue
            self._asking[connection.fileno()] = root, connection
            self._epoll.register(connection, select.EPOLLIN)

    def _reply(self, root: str, connection: socket.socket) -> None:
        with connection:
            try:
                pidfd = self._asked(root, connection.recv(512).decode())
                if pidfd is None:
                    connection.send(b"no")
                else:
                    socket.send_fds(connection, [b"yes"], [pidfd])
            except (OSError, ValueError):
                pass  # it has gone, or asked something else

    def _asked(self, root: str, question: str) -> int | None:
        """`TASK_ID PID TICKS PID_NAMESPACE`: the namespace, given as its inode, is where the pid means something."""
        task_id, pid, ticks, namespace = question.split(" ")
        if int(namespace) != self._pid_namespace:
            return None
        return self._held.get((root, task_id), {}).get((int(pid), int(ticks)))


class _Place:
    """A listening socket in a root, for its owner and root alone. Raises OSError."""

    def __init__(self, root: str) -> None:
        name = f"{paths.WITNESS}{os.urandom(4).hex()}"
        self._path = f"{root}/{name}"
        directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        through = f"/proc/self/fd/{directory}"  # short enough for a socket's path, however long the root's is
        try:
            _remove_dead(through)
            os.fchmod(self.listener.fileno(), 0o600)  # bind gives the file this mode
            # Whoever sees the name can connect: one that refuses is dead.
            self.listener.bind(f"{through}/.{name}")
            self.listener.listen(128)
            os.rename(f"{through}/.{name}", f"{through}/{name}")
            self._inode = os.lstat(f"{through}/{name}").st_ino
        except OSError:
            self.listener.close()
            raise
        finally:
            os.close(directory)

    def stands(self) -> bool:
        """Whether it is still where a keeper looks for it."""
        try:
            return os.lstat(self._path).st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        if self.stands():
            try:
                os.unlink(self._path)
            except OSError:
                pass  # the root is read-only by now, or another's
        self.listener.close()


def _remove_dead(directory: str) -> None:
    """The sockets of observers that were killed."""
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        if name.startswith(paths.WITNESS) and _refuses(path):
            try:
                os.unlink(path)
            except OSError:
                pass  # another observer was faster, or it is somebody else's


def _refuses(path: str) -> bool:
    """Whether it is a socket that nobody listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as probe:
        try:
            if stat.S_ISSOCK(os.lstat(path).st_mode):  # other files refuse too
                probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            pass
    return False


def _pidfd_of(pid: int, ticks: int) -> int:
    """-1: that process is gone. The start time is read when the pidfd is open: a number that is still the process's
    was its own all the time before."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return -1
    if start_ticks(pid) == ticks:
        return pidfd
    os.close(pidfd)
    return -1
