"""Where layers are unpacked once and shared, who uses which, and how what nobody uses goes away.

    STORE/lock                  held while holders come, go or are looked through: short
    STORE/layers/KEY/root       a layer's files; `about` beside it says what it cost and what was left out
    STORE/fetched/KEY           what came from a registry, as an image layout
    STORE/holders/HOLDER/0, 1.. links to what the holder uses, the topmost layer first
    STORE/locks/KEY             held while KEY is made or removed

A name that does not begin with a dot is whole: what is made or removed has a dotted name meanwhile, and belongs to
nobody once its lock is free. A holder names what it uses before it is made, and nothing is removed that a holder names.
So at whatever instruction somebody is killed, the next one finds whole things and litter, and can tell them apart.

The kernel lets go of the locks of the dead; no process id is written down anywhere.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress

from sandbox import durable

from .image import Flaw, shown

#: The tables of things that are held.
KINDS = ("layers", "fetched")
_MAKING = ".making-"
_DROPPED = ".dropped-"


class Store:
    """Raises Flaw where the directory is not ours alone to write in: what lies there becomes someone's /usr."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        try:
            for directory in ("", *KINDS, "holders", "locks"):
                os.makedirs(os.path.join(self.path, directory), 0o700, exist_ok=True)
                found = os.lstat(os.path.join(self.path, directory))
                if not stat.S_ISDIR(found.st_mode):
                    raise Flaw(
                        f"{self.path} has a link where the store of images has a directory, {directory or 'itself'}"
                    )
                if found.st_uid != os.geteuid() or found.st_mode & 0o022:
                    raise Flaw(
                        f"the store of images, {self.path}, is not this user's alone to write in: "
                        "give it another directory, or change owner and mode of this one"
                    )
        except OSError as error:
            raise Flaw(f"the store of images, {self.path}, cannot be used: {error.strerror}") from None

    def at(self, *names: str) -> str:
        return os.path.join(self.path, *names)

    def making(self, kind: str, key: str) -> str:
        """Where something is made, by whoever is alone with its key, before it gets its name."""
        return self.at(kind, _MAKING + key)

    # ---- locks

    @contextmanager
    def _locked(self) -> Generator[None, None, None]:
        fd = os.open(self.at("lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _lock(self, key: str, wait: bool) -> int | None:
        """A descriptor that has the lock of a key. None: somebody else has it."""
        path = self.at("locks", key)
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(fd), os.lstat(path)):
                        return fd
            except BlockingIOError:
                os.close(fd)
                return None
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # whoever had it has removed the file: ours is nobody else's lock

    def _unlock(self, key: str, fd: int) -> None:
        try:
            os.unlink(self.at("locks", key))
        finally:
            os.close(fd)

    @contextmanager
    def alone(self, key: str) -> Generator[int, None, None]:
        """Nobody else makes or removes the key. Gives the lock's descriptor, for a program that shall hold it too."""
        fd = self._lock(key, wait=True)
        assert fd is not None
        try:
            yield fd
        finally:
            self._unlock(key, fd)

    # ---- what is held

    def make(self, kind: str, key: str, fill: Callable[[str], None]) -> str:
        """The path of a key. Where it is not there, `fill` is given an empty directory to make it of."""
        path = self.at(kind, key)
        if os.path.isdir(path):
            return path
        with self.alone(f"{kind}-{key}"):
            if os.path.isdir(path):
                return path
            making = self.making(kind, key)
            remove_tree(making)
            os.mkdir(making, 0o700)
            try:
                fill(making)
                fd = os.open(making, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    durable.write_back(fd)
                finally:
                    os.close(fd)
                os.rename(making, path)
            except BaseException:
                remove_tree(making)
                raise
            durable.sync_directory(self.at(kind))
        return path

    def hold(
        self, holder: str, wanted: Sequence[str], alive: Callable[[str], bool], wait: bool = False
    ) -> tuple[int, bool]:
        """Write down what a holder uses, as paths below the store. Holders that are dead go away.

        Gives a descriptor that keeps the holder from being swept away while it is open, and whether the holder is new.
        Where another descriptor does, it is waited for, or Flaw raised; so it is where the holder has another image.
        """
        while True:
            held = self._hold(holder, wanted, alive)
            if held is not None:
                return held
            if not wait:
                raise Flaw(f"{shown(holder)} is being prepared by another process")
            with suppress(FileNotFoundError):
                os.close(_lease(self.at("holders", holder), fcntl.LOCK_EX))

    def _hold(self, holder: str, wanted: Sequence[str], alive: Callable[[str], bool]) -> tuple[int, bool] | None:
        """None: somebody else prepares for it."""
        with self._locked():
            self._drop_dead(alive, but=holder)
            path = self.at("holders", holder)
            if os.path.isdir(path):
                lease = _try_lease(path)
                if lease is None:
                    return None
                if _targets(path) == list(wanted):
                    return lease, False
                os.close(lease)
                if alive(holder):
                    raise Flaw(f"{shown(holder)} has another image already, which has to be released first")
                self._drop(path)
            making = self.at("holders", _MAKING + holder)
            remove_tree(making)
            lease = None
            try:
                os.mkdir(making, 0o700)
                lease = _lease(making)
                for number, target in enumerate(wanted):
                    os.symlink(os.path.join("..", "..", target), os.path.join(making, str(number)))
                os.fsync(lease)
                os.rename(making, path)
                durable.sync_directory(self.at("holders"))
            except BaseException:
                if lease is not None:
                    os.close(lease)
                remove_tree(making)
                self._drop(path)
                raise
            return lease, True

    def release(self, holder: str) -> None:
        with self._locked():
            self._drop(self.at("holders", holder))

    def _drop(self, path: str) -> None:
        dropped = os.path.join(os.path.dirname(path), _DROPPED + os.path.basename(path))
        remove_tree(dropped)
        with suppress(FileNotFoundError):
            os.rename(path, dropped)
            remove_tree(dropped)

    def _drop_dead(self, alive: Callable[[str], bool], but: str = "") -> list[str]:
        """With the lock of the store."""
        dead: list[str] = []
        for name in sorted(os.listdir(self.at("holders"))):
            path = self.at("holders", name)
            if name.startswith("."):
                remove_tree(path)
            elif name != but:
                lease = _try_lease(path)
                if lease is not None:
                    os.close(lease)
                    if not alive(name):
                        self._drop(path)
                        dead.append(name)
        return dead

    def tidy(self) -> None:
        """Remove what the dead left half made or half removed."""
        for kind in KINDS:
            for name in os.listdir(self.at(kind)):
                if name.startswith("."):
                    key = name.removeprefix(_MAKING).removeprefix(_DROPPED)
                    with self._alone_at_once(f"{kind}-{key}") as ours:
                        if ours:
                            remove_tree(self.at(kind, name))
        for lock in os.listdir(self.at("locks")):
            with self._alone_at_once(lock):
                pass

    def sweep(self, alive: Callable[[str], bool]) -> list[str]:
        """Remove dead holders, and what no holder names. Gives the names of both."""
        with self._locked():
            gone = self._drop_dead(alive)
            held = {
                "/".join(target.split("/")[:2])
                for holder in os.listdir(self.at("holders"))
                for target in _targets(self.at("holders", holder))
            }
            for kind in KINDS:
                for key in sorted(os.listdir(self.at(kind))):
                    if not key.startswith(".") and f"{kind}/{key}" not in held:
                        with self._alone_at_once(f"{kind}-{key}") as ours:
                            if ours:
                                remove_tree(self.at(kind, _DROPPED + key))
                                os.rename(self.at(kind, key), self.at(kind, _DROPPED + key))
                                gone.append(key)
        # Its name had to go while no holder could come; its content goes when nobody waits for us any more.
        self.tidy()
        return gone

    @contextmanager
    def _alone_at_once(self, lock: str) -> Generator[bool, None, None]:
        """False: somebody is making or removing it now."""
        fd = self._lock(lock, wait=False)
        try:
            yield fd is not None
        finally:
            if fd is not None:
                self._unlock(lock, fd)


def _lease(path: str, how: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, how)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _try_lease(path: str) -> int | None:
    try:
        return _lease(path)
    except BlockingIOError:
        return None


def _targets(path: str) -> list[str]:
    """What a holder names, as paths below the store."""
    names = sorted(os.listdir(path), key=lambda name: (len(name), name))
    return [os.readlink(os.path.join(path, name)).removeprefix("../../") for name in names]


def remove_tree(path: str) -> None:
    """All of a directory of ours, whatever modes its directories have. Nothing where there is none."""
    try:
        shutil.rmtree(path)
        return
    except FileNotFoundError:
        return
    except PermissionError:
        pass
    for directory, inner, _ in os.walk(path):
        for name in inner:
            within = os.path.join(directory, name)
            if not os.path.islink(within):
                os.chmod(within, 0o700)
    shutil.rmtree(path)
