"""Hostile programs, and what tells from outside whether one did harm.

An escape is two things of the same name:

* `programs/NAME.py`: the program. Its docstring is the sentence that says what it tries. Only /usr/bin/python3 and its
  standard library, with `hostile` (see there) for system calls; it is passed by argument, so it needs no file.
* a *bait* in one of the `rows_of_*.py`: a generator function NAME(scene) below `@escape(USERS, stopped_by=WHAT)`. It
  sets up what the program is to harm, yields a `Bait` (the oracle `harmed`, and words the program gets), and cleans
  up.

To add one, write both; a new module of rows goes into `table_of_escapes.py`. `test_it_succeeds_without.py` runs it as a
plain process, and the oracle must say harm: an attack that this kernel does not have is no test. In
`test_the_sandbox_stops_it.py` it runs in the default sandbox, and the oracle must not. It is asked before the program
runs (no harm yet), all the time while it runs, and once when it is over. It looks at the machine, not at what the
program says of itself, but where a secret is to be read: `scene.heard()`. A program whose harm lasts only as long as it
does itself calls `hold()` in the end.

Everything happens on a *stage*, a machine of its own as far as namespaces go (see stage.py), so a bait may be
/etc/passwd. What has no namespace (most of /proc/sys, cgroups, block devices, the clock) is really the machine's: take
something harmless that no other row takes, and put it back in a `finally`. No two attempts of one escape run at once.

`plainly=True`: without the sandbox it is started directly rather than by the real program, where that in itself stops
it (no_new_privs, descriptors, a session keyring of its own). Other arguments of `escape` are fields of the task file,
such as limits.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from deadline import until

from sandbox.syscalls import mount

HERE = Path(__file__).parent
PYTHON = "/usr/bin/python3"
UIDS = {"root": 0, "mallory": 61234}
SECONDS = 20.0

_PRELUDE = "import sys, types; m = sys.modules['hostile'] = types.ModuleType('hostile'); exec({!r}, m.__dict__)\n"
T = TypeVar("T")


class Bait:
    """`harmed`: whether it did harm. `words`: what the program is told.

    `only_at_the_end`: the oracle is not asked while the program runs. `over`: whether the task may be left alone
    before it has ended, as nothing is to come any more. `patience`: seconds after which harm may still show where it
    should be stopped; without a sandbox, where it has to come, it may be as late as it likes.
    """

    def __init__(
        self,
        harmed: Callable[[], bool],
        *,
        only_at_the_end: bool = False,
        over: Callable[[], bool] | None = None,
        patience: float = 0,
        **words: object,
    ) -> None:
        self.harmed = harmed
        self.only_at_the_end = only_at_the_end
        self.over = over
        self.patience = patience
        self.words = [f"{name}={value}" for name, value in words.items()]


class Escape:
    def __init__(self, bait: Callable[[Scene], Iterator[Bait]], stopped_by: str, plainly: bool, asked: Any) -> None:
        self.name = bait.__name__
        self.file = HERE / "programs" / f"{self.name}.py"
        self.bait = contextlib.contextmanager(bait)
        self.stopped_by = stopped_by
        self.plainly = plainly
        self.asked = asked


#: Every row: (escape, name of the user it runs as).
ROWS: list[tuple[Escape, str]] = []


def escape(
    *users: str, stopped_by: str, plainly: bool = False, **asked: Any
) -> Callable[[Callable[[Scene], Iterator[Bait]]], Escape]:
    def row(bait: Callable[[Scene], Iterator[Bait]]) -> Escape:
        made = Escape(bait, stopped_by, plainly, asked)
        ROWS.extend((made, user) for user in users)
        return made

    return row


class Process:
    """One that runs on the stage. `inner`: its pid there; `pid`: its pid as we see it; `said`: its first line."""

    def __init__(self, popen: subprocess.Popen[str], stage: Stage) -> None:
        assert popen.stdout is not None
        self.popen = popen
        self.said = popen.stdout.readline().split()
        assert self.said, "it ended at once"
        self.inner = int(self.said[0])
        self.pid = stage.outer(self.inner)

    def dead(self) -> bool:
        return dead(self.pid)

    def status(self, field: str) -> str:
        return status(self.pid).get(field, "")


def status(pid: int) -> dict[str, str]:
    """/proc/PID/status; empty where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def command_line(pid: int) -> str:
    """The arguments of a process, each after a NUL but the first; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def dead(pid: int) -> bool:
    return status(pid).get("State", "X")[0] in "XZ"


class Stage:
    """The machine of one test. `pid`: its first process; `groups`: directories of its cgroup, one a hierarchy."""

    def __init__(self, base: Path) -> None:
        self.token = f"escapes-{os.getpid()}-{secrets.token_hex(4)}"
        self.srv = base / "srv"
        self.srv.mkdir()
        for directory in (self.srv, base, *base.parents):  # pytest's own are for their owner alone
            if directory.stat().st_uid == os.geteuid() and not directory.stat().st_mode & 0o001:
                directory.chmod(directory.stat().st_mode | 0o011)
        self.srv.chmod(0o755)
        (self.srv / "bait").mkdir(mode=0o755)
        self.base = base
        self._limits = _limits_above()
        self.running: list[subprocess.Popen[Any]] = []
        self.groups: dict[str, str] = {}
        command = [PYTHON, "-I", "-S", str(HERE / "stage.py"), str(self.srv)]
        self._first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._first.stdout is not None
        self.pid = int(self._first.stdout.readline())
        self._pidfd = os.pidfd_open(self.pid)
        try:
            assert self._first.stdout.readline() == "ready\n"
            for hierarchy, directory in _make_groups(self.token):
                self.groups[hierarchy] = directory
        except BaseException:
            self.end()
            raise

    def outside(self, path: str) -> Path:
        """Where we see a path of the stage's: what is below /srv also when it has ended."""
        return self.srv / path[5:] if path.startswith("/srv/") else Path(f"/proc/{self.pid}/root{path}")

    def entering(self, uid: int = 0) -> list[str]:
        """The words in front of a command that make it one of the stage's."""
        words = ["nsenter", "-t", str(self.pid), "--mount", "--net", "--uts", "--ipc", "--pid", "--wdns=/srv"]
        return [*words, f"--setuid={uid}", f"--setgid={uid}"] if uid else words

    def in_its_groups(self) -> list[str]:
        """The words in front of a command that make it one of the stage's cgroups."""
        join = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
        return ["/bin/sh", "-c", join, "sh", *self.groups.values(), "--"]

    def start(self, code: str, *argv: str, uid: int = 0, **how: Any) -> Process:
        """A Python program of the stage's, that first of all writes its pid and what else is to be known of it."""
        command = [*self.entering(uid), PYTHON, "-I", "-S", "-c", code, *argv]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        popen = subprocess.Popen(command, text=True, **{**streams, **how})
        self.running.append(popen)
        return Process(popen, self)

    def ask(self, code: str) -> str:
        """What a Python program says that root runs on the stage."""
        command = [*self.entering(), PYTHON, "-I", "-S", "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def outer(self, inner: int) -> int:
        ours = os.stat(f"/proc/{self.pid}/ns/pid").st_ino
        for entry in os.listdir("/proc"):
            if entry.isdigit() and status(int(entry)).get("NSpid", "").split()[1:2] == [str(inner)]:
                with contextlib.suppress(OSError):
                    if os.stat(f"/proc/{entry}/ns/pid").st_ino == ours:
                        return int(entry)
        raise AssertionError(f"{inner} is not on the stage")

    def dead(self) -> bool:
        return bool(select.select([self._pidfd], [], [], 0)[0])

    def end(self) -> None:
        """End what there is of it, and see that nothing is left."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        for process in (self._first, *self.running):
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        os.close(self._pidfd)
        for directory in self.groups.values():
            _remove_group(directory)
        _end_hierarchy(self.token, self.base / "hierarchy")
        assert _limits_above() == self._limits, "a limit of the machine's own groups was changed"
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        assert [line for line in mounts if str(self.base) in line] == []
        assert [pid for pid in os.listdir("/proc") if pid.isdigit() and self.token in command_line(int(pid))] == []


def _end_hierarchy(name: str, at: Path) -> None:
    """One that a program has made. The kernel ends it some time after an umount that finds no groups in it any more."""
    tried = 0.0

    def gone() -> bool:
        nonlocal tried
        if f"name={name}:" not in Path("/proc/self/cgroup").read_text():
            return True
        if time.monotonic() > tried + 0.3:  # to mount it is to keep it
            at.mkdir(exist_ok=True)
            mount("none", str(at), "cgroup", data=f"none,name={name}")
            for group in at.glob("*/"):
                group.rmdir()
            subprocess.run(["umount", str(at)], check=True)
            tried = time.monotonic()
        return False

    until(gone, "a hierarchy of groups is still there")


def _limits_above() -> dict[str, str]:
    """The memory limits of the groups that we are in ourselves: no program may come so far."""
    found = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mounted = {"memory": "/sys/fs/cgroup/memory", "": "/sys/fs/cgroup"}.get(controllers)
        for group in (Path(path), *Path(path).parents) if mounted else ():
            for name in ("memory.limit_in_bytes", "memory.max"):
                file = Path(f"{mounted}{group}", name)
                if file.exists():
                    found[str(file)] = file.read_text()
    return found


def _make_groups(name: str) -> Iterator[tuple[str, str]]:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        kind, asked = ("cgroup", set(controllers.split(","))) if controllers else ("cgroup2", set[str]())
        for _, directory, fstype, options, *_ in mounts:
            if fstype == kind and asked <= set(options.split(",")):
                parent = directory + path.rstrip("/")
                made = f"{parent}/{name}"
                os.mkdir(made)
                yield controllers or "unified", made
                for file in ("cpuset.cpus", "cpuset.mems"):
                    if controllers == "cpuset":
                        Path(made, file).write_text(Path(parent, file).read_text())


def _remove_group(directory: str) -> None:
    for root, _, _ in os.walk(directory, topdown=False):
        for file, text in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            if os.path.exists(f"{root}/{file}"):
                Path(root, file).write_text(text)
        until(lambda root=root: _removed(root), f"{root} cannot be removed")


def _removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


_VICTIM = """
import ctypes, os, signal, sys
buffer = ctypes.create_string_buffer(sys.stdin.readline().strip().encode(), 64)
print(os.getpid(), ctypes.addressof(buffer), os.memfd_create("kept"), flush=True)
while True:
    signal.pause()
"""


class Scene:
    """One attempt: its stage, who makes it, and what became of it."""

    def __init__(self, stage: Stage, user: str, sandboxed: bool) -> None:
        self.stage = stage
        self.user = user
        self.uid = UIDS[user]
        self.sandboxed = sandboxed
        self.secret = secrets.token_hex(16)
        self.environment: dict[str, str] = {}
        self.more_processes: list[dict[str, Any]] = []
        self.before: Callable[[], None] | None = None
        self.pass_fds: Sequence[int] = ()
        self.directory = f"/srv/root/tasks/{stage.token}"
        self.where = f"{self.directory}/sandbox"
        self.plain = False
        self.run: subprocess.Popen[bytes] | None = None

    # -- baits

    def file(self, name: str, text: str = "", *, mode: int = 0o644, owned: bool = False) -> str:
        """A file among the baits, root's unless it is to be the hostile user's own."""
        path = self.outside(f"/srv/bait/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        if owned:
            os.chown(path, self.uid, self.uid)
        return f"/srv/bait/{name}"

    def folder(self, name: str, *, mode: int = 0o755) -> str:
        path = self.outside(f"/srv/bait/{name}")
        path.mkdir()
        path.chmod(mode)
        return f"/srv/bait/{name}"

    def outside(self, path: str) -> Path:
        return self.stage.outside(path)

    def there(self, path: str) -> bool:
        return os.path.lexists(self.outside(path))

    def text(self, path: str) -> str:
        try:
            return self.outside(path).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def victim(self, *argv: str, uid: int | None = None, **env: str) -> Process:
        """A process of the same user's that keeps the secret in memory, and a descriptor: said = pid, address, fd."""
        reader, writer = os.pipe()
        os.write(writer, self.secret.encode() + b"\n")
        uid = self.uid if uid is None else uid
        try:
            return self.stage.start(_VICTIM, *argv, uid=uid, stdin=reader, env={**os.environ, **env})
        finally:
            os.close(reader)
            os.close(writer)

    def memory(self, victim: Process) -> bytes:
        """What is in the memory where the victim keeps its secret."""
        with open(f"/proc/{victim.pid}/mem", "rb", buffering=0) as memory:
            memory.seek(int(victim.said[1]))
            return memory.read(64)

    # -- what became of it

    def said(self) -> str:
        if self.plain:
            return (self.stage.base / "stdout").read_text() if self.run else ""
        return self.text(f"{self.where}/.logs/hostile/0/stdout")

    def heard(self) -> bool:
        """Whether the program has learnt the secret."""
        return self.secret in self.said()

    def processes(self) -> list[int]:
        """Those of the hostile program that are alive, as we see them, and as long as they keep their arguments."""
        mark = f"\0token={self.stage.token}"
        every = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
        return [pid for pid in every if mark in command_line(pid) and not dead(pid)]

    def any_process(self, test: Callable[[int], bool]) -> bool:
        """Whether some process of the program's is as `test` says."""
        for pid in self.processes():
            with contextlib.suppress(OSError):
                if test(pid):
                    return True
        return False

    def has_open(self, kind: str) -> bool:
        """Whether the program has such a thing open, as /proc names it."""

        def has(pid: int) -> bool:
            return any(kind in os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())

        return self.any_process(has)

    def member(self, directory: str) -> bool:
        """Whether the program is in a cgroup."""
        members = Path(directory, "cgroup.procs").read_text().split()
        return any(str(pid) in members for pid in self.processes())


def attempt(which: Escape, user: str, sandboxed: bool, base: Path) -> tuple[bool, str]:
    """Whether a program did harm, and what it and the real program said."""
    with which.file.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return _attempt(which, user, sandboxed, base)


def _attempt(which: Escape, user: str, sandboxed: bool, base: Path) -> tuple[bool, str]:
    stage = Stage(base)
    try:
        scene = Scene(stage, user, sandboxed)
        scene.plain = which.plainly and not sandboxed
        with which.bait(scene) as bait:
            assert not bait.harmed(), "the oracle sees harm before there is any"
            code = _PRELUDE.format((HERE / "hostile.py").read_text()) + which.file.read_text()
            argv = [PYTHON, "-I", "-c", code, *bait.words, f"token={stage.token}"]
            command = _plain(scene, argv) if scene.plain else _task(scene, argv, which.asked)
            with (base / "stdout").open("wb") as out, (base / "stderr").open("wb") as err:
                scene.run = subprocess.Popen(
                    [*stage.in_its_groups(), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env={**os.environ, **scene.environment},
                    pass_fds=scene.pass_fds,
                    preexec_fn=scene.before,
                )
            stage.running.append(scene.run)
            harmed = _watch(scene, scene.run, bait)
            said = scene.said() + scene.text(f"{scene.where}/.logs/hostile/0/stderr") + (base / "stderr").read_text()
        assert harmed or "began" in said, f"it did not run: {said}"
        return harmed, said
    finally:
        stage.end()


def _watch(scene: Scene, run: subprocess.Popen[bytes], bait: Bait) -> bool:
    """Until there is harm, or the program is over."""
    where = scene.outside("/srv/plain" if scene.plain else scene.where)
    last = time.monotonic() + SECONDS
    harmed = False
    while not harmed and run.poll() is None and not (bait.over and bait.over()):
        assert time.monotonic() < last, "it does not end"
        held = (where / "held").exists()  # asked first: what there is to see then is there
        harmed = not bait.only_at_the_end and bait.harmed()
        if harmed or held:
            with contextlib.suppress(OSError):
                (where / "seen").touch()
        time.sleep(0.01)
    last = time.monotonic() + (bait.patience if scene.sandboxed else SECONDS)
    while not harmed and not (harmed := bait.harmed()) and time.monotonic() < last:
        time.sleep(0.01)
    return harmed


def _plain(scene: Scene, argv: list[str]) -> list[str]:
    directory = scene.outside("/srv/plain")
    directory.mkdir()
    os.chown(directory, scene.uid, scene.uid)
    enter = [word if word != "--wdns=/srv" else "--wdns=/srv/plain" for word in scene.stage.entering(scene.uid)]
    return [*enter, *argv]


def _task(scene: Scene, argv: list[str], asked: Mapping[str, Any]) -> list[str]:
    processes = [{"name": "hostile", "argv": argv}, *scene.more_processes]
    task = {"name": "t", "finalization_wait": 1, **asked, "processes": processes}
    scene.outside("/srv/task.json").write_text(json.dumps(task))
    thermos = str(Path(sys.executable).with_name("thermos"))
    words = ["run", "/srv/task.json", "--root", "/srv/root", "--task-id", scene.stage.token, "--user", scene.user]
    return [*scene.stage.entering(), thermos, *words, *([] if scene.sandboxed else ["--isolation", "none"])]
