"""Escapes by files: of the host's, of other tasks', of thermos's own; and by what makes a file more than a file."""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import socket
from collections.abc import Iterator

from escapes import Bait, Scene, escape

_READ_ONLY = "the host's files are mounted read-only"
_HIDDEN = "the directory of all tasks is hidden"
_OTHER_MOUNT = "its directory is another mount than the host's files: link(2) says EXDEV"


def planted(scene: Scene, path: str) -> Iterator[Bait]:
    """A file that is not there is made, or one that is there says `hostile` afterwards."""
    yield Bait(lambda: "hostile" in scene.text(path), file=path)


@escape("root", stopped_by=_READ_ONLY)
def add_a_user_to_the_host(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, "/etc/passwd")


@escape("root", stopped_by=_READ_ONLY)
def add_a_job_to_cron(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, "/etc/cron.d/planted")


@escape("root", stopped_by=_READ_ONLY)
def leave_a_key_for_root(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, "/root/.ssh/authorized_keys")


@escape("root", stopped_by=_READ_ONLY)
def replace_a_program_of_the_hosts(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, "/usr/bin/lsb_release_of_the_host")


@escape("root", stopped_by=_READ_ONLY)
def delete_files_of_the_host(scene: Scene) -> Iterator[Bait]:
    file = scene.file("precious")
    yield Bait(lambda: not scene.there(file), file=file)


@escape("root", stopped_by=_READ_ONLY)
def open_up_a_file_of_the_hosts(scene: Scene) -> Iterator[Bait]:
    file = scene.file("private", mode=0o600)
    yield Bait(lambda: scene.outside(file).stat().st_mode & 0o777 == 0o666, file=file)


@escape("root", "mallory", stopped_by=_READ_ONLY)
def write_where_everybody_may(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, scene.folder("open", mode=0o1777) + "/planted")


@escape("root", "mallory", stopped_by=_READ_ONLY)
def write_a_file_of_its_users_on_the_host(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, scene.file("profile", owned=True))


@escape("root", "mallory", stopped_by="/tmp is private")
def write_to_the_hosts_tmp(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, "/tmp/planted")


@escape("root", "mallory", stopped_by="/var/tmp is private")
def write_to_the_hosts_var_tmp(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, "/var/tmp/planted")


@escape("root", "mallory", stopped_by="/dev/shm is private")
def write_to_the_hosts_shared_memory(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, "/dev/shm/planted")


@escape("root", "mallory", stopped_by="/tmp is private")
def read_what_others_left_in_tmp(scene: Scene) -> Iterator[Bait]:
    scene.outside("/tmp/notes").write_text(scene.secret)
    yield Bait(scene.heard, file="/tmp/notes")


@escape("root", stopped_by=_READ_ONLY)
def plant_a_node_in_the_hosts_dev(scene: Scene) -> Iterator[Bait]:
    """On the stage /dev is the machine's: it is a socket of the test's that is made there, and removed."""
    path = f"/dev/{scene.stage.token}"
    try:
        yield Bait(lambda: os.path.lexists(path), path=path)
    finally:
        if os.path.lexists(path):
            os.unlink(path)


# -- by another way than by their names


@escape("root", stopped_by="CAP_DAC_READ_SEARCH is gone, seccomp denies open_by_handle_at(2)")
def open_a_file_by_its_handle(scene: Scene) -> Iterator[Bait]:
    """The file is of the same file system as the task's directory, which is mounted to be written to."""
    file = scene.file("by-handle")
    handle = array.array("I", [128, 0, *[0] * 32])
    mount = ctypes.c_int()
    libc = ctypes.CDLL(None, use_errno=True)
    words = (-100, bytes(scene.outside(file)), (ctypes.c_char * len(handle.tobytes())).from_buffer(handle))
    assert libc.name_to_handle_at(*words, ctypes.byref(mount), 0) == 0
    yield Bait(lambda: scene.text(file) == "hostile", handle=handle.tobytes()[: 8 + handle[0]].hex())


@escape("root", stopped_by=f"{_OTHER_MOUNT}; {_READ_ONLY}")
def write_through_a_hard_link(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, scene.file("linked"))


@escape("root", stopped_by=_OTHER_MOUNT)
def keep_a_set_uid_program(scene: Scene) -> Iterator[Bait]:
    """One more name for a program with a hole: it outlives the update that closes it."""
    file = scene.file("set-uid", mode=0o4755)
    yield Bait(lambda: scene.outside(file).stat().st_nlink > 1, file=file)


@escape("root", "mallory", stopped_by="its logs are opened behind its own mounts, where the host's files are read-only")
def have_its_logs_written_elsewhere(scene: Scene) -> Iterator[Bait]:
    """The next process's log directory is a link when its logs are opened. If they cannot be, it is tried for ever."""
    where = scene.folder("elsewhere", mode=0o1777)
    scene.more_processes.append({"name": "next", "argv": ["/bin/echo", "hostile"], "after": ["hostile"]})
    yield Bait(
        lambda: "hostile" in scene.text(f"{where}/0/stdout"),
        over=lambda: '"refused"' in scene.text(f"{scene.directory}/journal"),
        where=where,
    )


@escape("root", "mallory", stopped_by="a working directory is found by its own files alone", max_failures=0)
def be_started_outside(scene: Scene) -> Iterator[Bait]:
    """One after the other, so that what is open while one is forked has the numbers that were free before."""
    folder = scene.folder("beyond", mode=0o1777)
    first, last = 3, 24
    before = "hostile"
    for by in ("root", *range(first, last)):
        start = {"name": f"start-{by}", "argv": ["/usr/bin/touch", "planted"], "cwd": f"by-{by}", "after": [before]}
        wait = {"name": f"wait-{by}", "argv": ["/bin/sleep", "0.1"], "after": [before]}
        scene.more_processes += [start, wait]
        before = wait["name"]
    yield Bait(lambda: scene.there(f"{folder}/planted"), folder=folder, first=first, last=last)


@escape("root", "mallory", stopped_by=_OTHER_MOUNT)
def have_its_logs_written_to_a_file_of_the_hosts(scene: Scene) -> Iterator[Bait]:
    """The next process's log is a further name of a file of the host's."""
    file = scene.file("log", owned=True)
    scene.more_processes.append({"name": "next", "argv": ["/bin/echo", "hostile"], "after": ["hostile"]})
    yield Bait(lambda: "hostile" in scene.text(file), file=file)


@escape("root", "mallory", stopped_by="seccomp denies fcntl(2) F_SETLEASE")
def hold_up_who_opens_a_file_of_the_hosts(scene: Scene) -> Iterator[Bait]:
    """Nobody waits in vain: who opens it without waiting is told that somebody holds a lease."""
    file = scene.file("much-read", owned=True)

    def harmed() -> bool:
        try:
            os.close(os.open(scene.outside(file), os.O_WRONLY | os.O_NONBLOCK))
        except BlockingIOError:
            return True
        return False

    yield Bait(harmed, file=file)


@escape("root", stopped_by="CAP_LINUX_IMMUTABLE is gone")
def make_a_file_that_nobody_can_remove(scene: Scene) -> Iterator[Bait]:
    path = scene.outside(f"{scene.where}/for-ever")

    def flags(new: int | None = None) -> int:
        if not path.exists():
            return 0
        fd = os.open(path, os.O_RDONLY)
        try:
            found = array.array("l", [0])
            fcntl.ioctl(fd, 0x80086601, found)  # FS_IOC_GETFLAGS
            if new is not None:
                fcntl.ioctl(fd, 0x40086602, array.array("l", [new]))  # FS_IOC_SETFLAGS
            return found[0]
        finally:
            os.close(fd)

    try:
        yield Bait(lambda: flags() & 0x10 != 0)
    finally:
        if flags() & 0x10:
            flags(flags() & ~0x10)


# -- other tasks, and thermos's own


def other_task(scene: Scene) -> str:
    """The directory of a task of the same root that is another's, with what thermos keeps in it."""
    directory = scene.outside("/srv/root/tasks/other-task")
    (directory / "sandbox/.logs/p/0").mkdir(parents=True)
    for path in ("/srv/root", "/srv/root/tasks", "/srv/root/tasks/other-task"):
        scene.outside(path).chmod(0o711)
    (directory / "sandbox/.logs/p/0/stdout").write_text(scene.secret)
    (directory / "journal").write_text("kept")
    for path in (directory / "sandbox").rglob("*"):
        os.chown(path, scene.uid, scene.uid)
    os.chown(directory / "sandbox", scene.uid, scene.uid)
    return "/srv/root/tasks/other-task"


@escape("root", "mallory", stopped_by=_HIDDEN)
def read_the_logs_of_another_task(scene: Scene) -> Iterator[Bait]:
    yield Bait(scene.heard, file=other_task(scene) + "/sandbox/.logs/p/0/stdout")


@escape("root", "mallory", stopped_by=_HIDDEN)
def write_to_the_sandbox_of_another_task(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, other_task(scene) + "/sandbox/planted")


@escape("root", stopped_by=_HIDDEN)
def write_the_journal_of_another_task(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, other_task(scene) + "/journal")


def spoilt(scene: Scene, name: str) -> Iterator[Bait]:
    """A word written backwards: forwards both files have it, as an argument of the program."""
    file = f"{scene.directory}/{name}"
    yield Bait(lambda: scene.secret[::-1] in scene.text(file), file=file, word=scene.secret)


@escape("root", stopped_by=_HIDDEN)
def write_its_own_journal(scene: Scene) -> Iterator[Bait]:
    """What the supervisor would believe had happened."""
    yield from spoilt(scene, "journal")


@escape("root", stopped_by=_HIDDEN)
def change_what_its_task_is(scene: Scene) -> Iterator[Bait]:
    yield from spoilt(scene, "task.json")


@escape("root", "mallory", stopped_by=_HIDDEN)
def command_another_task_by_its_socket(scene: Scene) -> Iterator[Bait]:
    path = f"{other_task(scene)}/control.sock"
    server = socket.socket(socket.AF_UNIX)
    where = scene.outside(path)
    directory = os.open(where.parent, os.O_PATH)  # its own path may be too long for a socket's
    server.bind(f"/proc/self/fd/{directory}/{where.name}")
    os.close(directory)
    os.chmod(scene.outside(path), 0o666)
    server.listen()
    server.setblocking(False)
    heard: list[bytes] = []

    def harmed() -> bool:
        try:
            heard.append(server.accept()[0].recv(100))
        except BlockingIOError:
            pass
        return b"hostile" in heard

    try:
        yield Bait(harmed, path=path)
    finally:
        server.close()


@escape("root", stopped_by=_HIDDEN)
def take_the_id_of_a_task_to_come(scene: Scene) -> Iterator[Bait]:
    yield from planted(scene, "/srv/root/tasks/next-task")
