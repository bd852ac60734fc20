"""Take a task in: its directory, its lock, its group with its limits; then become its keeper.

Light modules only, as it stands between the user and the first process.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import sys
import time

from sandbox.cgroups import tree
from thermos import paths, quick_json
from thermos.checkpoint import lock

from .start import command

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, NoReturn
else:
    import _signal

#: Where a port that was not asked for by number comes from: below what the kernel hands out by itself.
PORTS = range(31000, 32000)

#: Open files that a keeper or a supervisor needs for itself, and a few for requests.
OWN_DESCRIPTORS = 32


class CannotAccept(Exception):
    """The task cannot be taken in. `status`: the exit status that says so (69: the host, 73: the directory).

    `reasons`: where it is about fields of the task file, each (field, what is wrong). A field is as `sandbox.network`,
    with a name of a process after it as `nice of web`, or with what is meant in it as `sandbox.volumes (/mnt)`.
    """

    def __init__(self, status: int, message: str = "", *, reasons: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message or "\n".join(reason for _, reason in reasons))
        self.status = status
        self.reasons = reasons


def cannot_enforce(lacking: Iterable[tuple[str, str, str]]) -> CannotAccept:
    """What to raise where the host cannot give what was asked for: (field, what was asked for or "", why not)."""
    reasons: list[tuple[str, str]] = []
    for field, asked, why in lacking:
        what = f"{field} ({asked})" if asked else field
        hint = "" if field == "sandbox.rootfs" else "; see --isolation best-effort"  # which does not go without it
        reasons.append((field, f"cannot enforce {what}: {why}{hint}"))
    return CannotAccept(69, reasons=reasons)


class User:
    """Who the processes run as."""

    __slots__ = ("gid", "groups", "name", "uid")

    def __init__(self, name: str, uid: int, gid: int, groups: list[int]) -> None:
        self.name = name
        self.uid = uid
        self.gid = gid
        self.groups = groups


def user(name: str | None, field: str = "") -> User:
    """The user of that name, or ourselves. Raises CannotAccept: unknown, or not ours to become.

    `field`: where the task file names it, if it does.
    """
    import pwd

    if name is None:
        uid = os.geteuid()
        try:
            own_name = pwd.getpwuid(uid).pw_name
        except KeyError:
            own_name = str(uid)
        return User(own_name, uid, os.getegid(), os.getgroups())
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise _cannot_be(name, "this host has no such user", field) from None
    if os.geteuid() not in (0, entry.pw_uid):
        raise _cannot_be(name, "only root can become another user", field)
    if entry.pw_uid == os.geteuid():
        return User(name, entry.pw_uid, os.getegid(), os.getgroups())
    return User(name, entry.pw_uid, entry.pw_gid, os.getgrouplist(name, entry.pw_gid))


def _cannot_be(name: str, why: str, field: str) -> CannotAccept:
    message = f"cannot run as {name}: {why}"
    return CannotAccept(69, message, reasons=[(field, message)] if field else ())


def new_id(name: str) -> str:
    """A task id nobody has: name, time, and four random digits."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name).lstrip(".-")[:80] or "task"
    return f"{safe}-{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(2).hex()}"


def check_id(task_id: str) -> None:
    """Raises CannotAccept where it cannot be a directory's name, or would not be safe as one."""
    legal = all(c.isascii() and (c.isalnum() or c in "-_.+:@=") for c in task_id)
    if not legal or not 0 < len(task_id) <= 200 or task_id[0] in ".-":
        raise CannotAccept(
            2,
            f"cannot use {task_id!r} as a task id: it takes 1 to 200 letters, digits and -_.+:@=, "
            "and does not begin with a dot or a dash",
        )


def check_descriptors(at_once: int) -> None:
    """Raises CannotAccept where keeper and supervisor may not open the files that so many processes at once take.

    Each holds at most one for each of them, and a supervisor that could not would lose exit statuses with its keeper.
    """
    needed = OWN_DESCRIPTORS + at_once
    if os.sysconf("SC_OPEN_MAX") >= needed:  # the soft limit, which is all that most ever need
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        processes = "a process" if at_once == 1 else f"{at_once} processes at once"
        raise CannotAccept(
            69,
            f"cannot supervise {processes} with at most {hard} open files: {needed} are needed; "
            "raise the hard limit (ulimit -H -n), or set max_concurrency",
        )


# -- ports


def reserve_ports(root: str, task_id: str, names: tuple[str, ...], asked: Mapping[str, int]) -> dict[str, int]:
    """A port for each name: the one asked for, or a free one. Held for the task until it ends.

    The caller has its turn (see `Place`): so a port whose holder is no task is nobody's.

    Raises CannotAccept where one is taken. What was reserved is given back then.
    """
    held: dict[str, int] = {}
    try:
        os.makedirs(paths.ports_dir(root), mode=0o711, exist_ok=True)
        for name in names:
            if name in asked:
                if not _hold_port(root, task_id, asked[name]):
                    raise CannotAccept(69, f"cannot give port {name} the number {asked[name]}: another task holds it")
                held[name] = asked[name]
            else:
                held[name] = _any_port(root, task_id, name, {*held.values(), *asked.values()})
    except CannotAccept:
        release_ports(root, task_id, held)
        raise
    except OSError as error:
        release_ports(root, task_id, held)
        raise CannotAccept(73, f"cannot reserve ports in {paths.ports_dir(root)}: {error.strerror}") from None
    return held


def release_ports(root: str, task_id: str, held: Mapping[str, int]) -> None:
    for number in held.values():
        path = f"{paths.ports_dir(root)}/{number}"
        try:
            if os.readlink(path) == task_id:
                os.unlink(path)
        except OSError:
            pass


def _every_port(root: str) -> dict[str, int]:
    """Every port that a task of that root holds, under its number."""
    try:
        return {name: int(name) for name in os.listdir(paths.ports_dir(root)) if name.isdigit()}
    except FileNotFoundError:
        return {}


def _hold_port(root: str, task_id: str, number: int) -> bool:
    path = f"{paths.ports_dir(root)}/{number}"
    for _ in range(3):
        try:
            os.symlink(task_id, path)
            return True
        except FileExistsError:
            holder = os.readlink(path)
            if holder == task_id:
                return True
            if os.path.exists(paths.task_dir(root, holder)) and not _over(root, holder):
                return False
            try:
                os.unlink(path)  # its task is gone, or died before it could give it back
            except FileNotFoundError:
                pass
    return False


def _over(root: str, task_id: str) -> bool:
    """Whether a task has ended, and nobody is in charge who is about to give back its ports."""
    from thermos.checkpoint.tasks import read_accepted, read_state, supervised

    ended: bool = not supervised(root, task_id) and read_state(root, read_accepted(root, task_id)).ended
    return ended


def _any_port(root: str, task_id: str, name: str, others: set[int]) -> int:
    start = int.from_bytes(os.urandom(2), "little") % len(PORTS)
    candidates: list[int] = [*PORTS[start:], *PORTS[:start]]
    for number in candidates:
        if number not in others and _free(number) and _hold_port(root, task_id, number):
            return number
    raise CannotAccept(69, f"cannot find a free port for {name} from {PORTS[0]} to {PORTS[-1]}")


def _free(number: int) -> bool:
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        probe.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        probe.bind(("", number))
        return True
    except OSError:
        return False
    finally:
        probe.close()


# -- what is asked for, and what there is


def refuse_what_is_missing(rows: Iterable[Mapping[str, Any]], spared: Iterable[str] = ()) -> None:
    """Raises CannotAccept where a limit that the task asks for cannot be had."""
    missing = [row for row in rows if row["got"] is None and row["what"] not in spared]
    if missing:
        from .limits import field_of

        raise cannot_enforce((field_of(row["what"]), row["asked"], row["why_not"]) for row in missing)


def rows_of_aside(aside: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an Aurora file says besides and we do not do: logs are not rotated yet, and docker's own is docker's."""
    rows: list[dict[str, Any]] = []
    container: dict[str, Any] = aside.get("job", {}).get("container") or {}
    parameters = container.get("docker", container).get("parameters")
    if parameters:
        from .limits import row

        asked = ", ".join(f"{each.get('name')}={each.get('value')}" for each in parameters)
        rows.append(row("parameters of docker", asked, None, "they are for docker's own program, which is not used"))
    for process, said in aside.get("processes", {}).items():
        logger: dict[str, Any] = said.get("logger") or {}
        wanted = [str(logger[name]) for name in ("mode", "destination") if logger.get(name) not in (None, *_LOGGING)]
        if wanted:
            from .limits import row

            why = "what a process writes goes to files that are not rotated yet"
            rows.append(row(f"logger of {process}", ", ".join(wanted), None, why))
    return rows


#: What a process's logger does in any case.
_LOGGING = ("standard", "file")


# -- the directory


class Place:
    """A task's directory while it is being made: under a temporary name, with its lock held.

    One task at a time is made under a root: whoever makes one holds a lock on the directory of all until it is in its
    place. So nobody else is just about to take the same id, the same group or the same port.
    """

    def __init__(self, root: str, task_id: str) -> None:
        """Raises CannotAccept: no permission, no space, a read-only file system."""
        self.root = root
        self.task_id = task_id
        self._turn = -1
        self.temporary = f"{paths.new_dir(root)}/{task_id}"
        try:
            os.makedirs(paths.tasks_dir(root), mode=0o711, exist_ok=True)
            self._turn = self._wait_for_turn()
            self._sweep()
            os.mkdir(self.temporary, 0o711)
            made = os.stat(self.temporary)
            self.group = group_name(task_id, made)
            self.lock = os.open(f"{self.temporary}/{paths.LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            lock.take(self.lock)
        except OSError as error:
            self.discard()
            raise CannotAccept(73, f"cannot create the task in {root}: {_why(error)}") from None

    def _wait_for_turn(self) -> int:
        """A descriptor to close when it is over. Raises OSError."""
        turn = os.open(paths.tasks_dir(self.root), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(turn, fcntl.LOCK_EX)
        return turn

    def _sweep(self) -> None:
        """Remove what a `run` has left that was killed in its turn."""
        os.makedirs(paths.new_dir(self.root), mode=0o711, exist_ok=True)
        for task_id in os.listdir(paths.new_dir(self.root)):
            import shutil

            from . import sandboxing

            path = f"{paths.new_dir(self.root)}/{task_id}"
            tree.remove_tree(tree.find(group_name(task_id, os.stat(path))))
            if not os.path.isdir(paths.task_dir(self.root, task_id)):  # else they are that one's
                release_ports(self.root, task_id, _every_port(self.root))
            if os.path.isdir(rehearsal := f"{path}/{sandboxing.REHEARSAL}"):
                sandboxing.remove_changes(rehearsal)
            shutil.rmtree(path)

    def settle(
        self,
        accepted: Mapping[str, Any],
        owner: User,
        others: Mapping[str, User],
        setting: Mapping[str, Any] | None = None,
        *,
        limited: bool = False,
    ) -> bool:
        """Put the task in its place. False: somebody else was first. Raises CannotAccept.

        `others`: the processes that have users of their own, by name. `setting`: how its sandbox is made, if any.
        `limited`: the directory is left empty, for a limit of disk space.

        It is the supervisor that makes it survive a power cut: nothing else can before there is something to lose.
        """
        inside = paths.sandbox_dir(self.root, self.task_id)
        sandbox = accepted["sandbox"]
        try:
            place = f"{self.temporary}/{paths.SANDBOX}" if sandbox == inside else sandbox
            make_sandbox(place, owner, logs=not limited)
            if not limited:
                admit(place, owner, others)
            if setting is not None:
                self._write_setting(setting)
            data = quick_json.dumps(accepted).encode()
            fd = os.open(f"{self.temporary}/{paths.ACCEPTED}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _write_all(fd, data)
            finally:
                os.close(fd)
            try:
                os.rename(self.temporary, paths.task_dir(self.root, self.task_id))
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return False
                raise
            self._end_turn()
        except OSError as error:
            raise CannotAccept(73, f"cannot create the task in {self.root}: {_why(error)}") from None
        return True

    def _write_setting(self, setting: Mapping[str, Any]) -> None:
        from . import sandboxing

        sandboxing.write(self.temporary, setting)
        if setting["changes"]:
            sandboxing.make_changes(f"{self.temporary}/{paths.CHANGES}")

    def withdraw(self) -> None:
        """Take a task out of its place again in which nothing has begun."""
        try:
            self._turn = self._wait_for_turn()
            os.rename(paths.task_dir(self.root, self.task_id), self.temporary)
        except OSError:
            self._end_turn()  # it can be resumed, and is refused again
        self.discard()

    def discard(self) -> None:
        if self._turn >= 0:  # else what is there is another's
            import shutil

            shutil.rmtree(self.temporary, ignore_errors=True)
        self._end_turn()

    def _end_turn(self) -> None:
        if self._turn >= 0:
            os.close(self._turn)
            self._turn = -1


def group_name(task_id: str, directory: os.stat_result) -> str:
    """A name for a task's group that no task of the same id under another root has."""
    return f"{task_id}.{directory.st_dev:x}-{directory.st_ino:x}"


def make_sandbox(path: str, owner: User, *, logs: bool = True) -> None:
    """The directory, unless it is there, and that of the logs in it. What was there keeps its owner: it may be /tmp."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from None
    for directory, mode in ((path, 0o700), (f"{path}/{paths.LOGS}", 0o755))[: 1 + logs]:
        try:
            os.mkdir(directory, mode)
        except FileExistsError:
            continue
        if owner.uid != os.geteuid():
            os.chown(directory, owner.uid, owner.gid, follow_symlinks=False)


def admit(sandbox: str, owner: User, others: Mapping[str, User]) -> None:
    """Let processes of other users pass through the sandbox, and write their logs."""
    others = {name: user for name, user in others.items() if user.uid != owner.uid}
    if not others:
        return
    mode = os.stat(sandbox).st_mode & 0o7777
    if mode & 0o111 != 0o111:
        os.chmod(sandbox, mode | 0o111)
    logs = os.open(f"{sandbox}/{paths.LOGS}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name, user in others.items():
            try:
                os.mkdir(name, 0o755, dir_fd=logs)
            except FileExistsError:
                continue
            os.chown(name, user.uid, user.gid, dir_fd=logs, follow_symlinks=False)
    finally:
        os.close(logs)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _why(error: OSError) -> str:
    return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)


# -- becoming the keeper


def become_keeper(
    root: str,
    task_id: str,
    sandbox: str,
    lock_fd: int,
    supervisor: tuple[int, int] = (-1, 0),
    ready: int = -1,
    follower: int = 0,
) -> NoReturn:
    """This process is the task's keeper from here on. `sandbox`: "" for plain processes; the rest as in `keeper`."""
    socket, pid = supervisor
    for fd in (lock_fd, socket, ready):
        if fd >= 0:
            os.set_inheritable(fd, True)
    argv = command("keeper", root, task_id, sandbox, lock_fd, socket, pid, ready, follower)
    os.execve(argv[0], argv, dict(os.environ))
    raise AssertionError


def detach(begin: Callable[[int], NoReturn]) -> bool:
    """Fork a process of its own session that will `begin(ready)`. Returns once the task is supervised; False: never."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    if os.fork():
        os.close(writer)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        said = os.read(reader, 1)
        os.close(reader)
        return said == b"1"
    try:
        os.close(reader)
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        begin(writer)
    finally:
        os._exit(70)


def follow_journal(root: str, task_id: str) -> int:
    """Start a child that prints the task's journal as JSON lines, as it grows. Returns its pid."""
    code = "import sys; from thermos.cli import main; sys.exit(main())"
    argv = [sys.executable, "-c", code, "read", task_id, "--follow", "--json", "--root", root]
    return os.posix_spawn(argv[0], argv, dict(os.environ), setsid=True, setsigmask=())
