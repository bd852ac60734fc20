"""Escapes by mounting, and by what lies under a mount or behind a root directory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from escapes import Bait, Scene, escape

_NO_MOUNT = "CAP_SYS_ADMIN is gone, seccomp denies mount(2) and its kin; mounts here are not the host's"
_READ_ONLY = "the host's files are mounted read-only"


def mounts(scene: Scene) -> list[str]:
    """Where the stage has something mounted."""
    return [line.split()[4] for line in Path(f"/proc/{scene.stage.pid}/mountinfo").read_text().splitlines()]


@escape("root", stopped_by=_NO_MOUNT)
def mount_over_a_host_directory(scene: Scene) -> Iterator[Bait]:
    where = scene.folder("covered")
    yield Bait(lambda: where in mounts(scene), where=where)


@escape("root", stopped_by=_NO_MOUNT)
def make_mounts_shared_again(scene: Scene) -> Iterator[Bait]:
    where = scene.folder("covered")
    yield Bait(lambda: where in mounts(scene), where=where)


@escape("root", stopped_by=_NO_MOUNT)
def bind_over_a_host_file(scene: Scene) -> Iterator[Bait]:
    program = scene.file("program", "honest")
    as_seen_there = Path(f"/proc/{scene.stage.pid}/root{program}")
    yield Bait(lambda: as_seen_there.read_text() == "hostile", program=program)


@escape("root", stopped_by=_NO_MOUNT)
def unmount_a_host_mount(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: "/srv/read-only" not in mounts(scene), where="/srv/read-only")


@escape("root", stopped_by=_NO_MOUNT)
def move_a_host_mount(scene: Scene) -> Iterator[Bait]:
    # The kernel moves nothing away from below a shared mount: one of its own, then, as a private mount has it.
    where = scene.folder("kept")
    scene.stage.ask(
        "import subprocess as s\n"
        f"s.run(['mount', '--bind', {where!r}, {where!r}], check=True)\n"
        f"s.run(['mount', '--make-private', {where!r}], check=True)\n"
        f"s.run(['mount', '-t', 'tmpfs', 'none', {where!r}], check=True)\n"
        f"import os; os.mkdir({where!r} + '/inner'); os.mkdir({where!r} + '/other')\n"
        f"s.run(['mount', '--make-private', {where!r}], check=True)\n"
        f"s.run(['mount', '-t', 'tmpfs', 'none', {where!r} + '/inner'], check=True)\n"
        f"s.run(['mount', '--make-private', {where!r} + '/inner'], check=True)\n"
    )
    yield Bait(lambda: f"{where}/inner" not in mounts(scene), source=f"{where}/inner", target=f"{where}/other")


@escape("root", stopped_by=_NO_MOUNT)
def remount_read_write(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.there("/srv/read-only/written"), where="/srv/read-only")


@escape("root", stopped_by=_NO_MOUNT)
def mount_setattr_read_write(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.there("/srv/read-only/written"), where="/srv/read-only")


@escape("root", stopped_by=_NO_MOUNT)
def clone_a_tree_and_make_it_writable(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.there("/srv/read-only/written"), where="/srv/read-only")


@escape("root", stopped_by=_NO_MOUNT)
def write_through_an_overlay(scene: Scene) -> Iterator[Bait]:
    upper, work = scene.folder("upper"), scene.folder("work")
    yield Bait(lambda: scene.there(f"{upper}/planted"), upper=upper, work=work)


@escape("root", stopped_by=_NO_MOUNT)
def unmount_what_masks_kernel_files(scene: Scene) -> Iterator[Bait]:
    yield from sysctl("vm/stat_interval")


@escape("root", stopped_by=_NO_MOUNT)
def mount_proc_anew(scene: Scene) -> Iterator[Bait]:
    yield from sysctl("vm/page-cluster")


@escape("root", stopped_by=_NO_MOUNT)
def make_a_proc_by_fsopen(scene: Scene) -> Iterator[Bait]:
    yield from sysctl("vm/dirtytime_expire_seconds")


def sysctl(name: str, by: int = 1) -> Iterator[Bait]:
    """One more than it was is the harm."""
    file = Path("/proc/sys", name)
    before = file.read_text()
    asked = str(int(before) + by)
    try:
        yield Bait(lambda: file.read_text().strip() == asked, name=name, value=asked)
    finally:
        if file.read_text() != before:
            file.write_text(before)


@escape("root", stopped_by=_NO_MOUNT)
def pivot_to_another_root(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.there("/srv/bait/planted"), file="/srv/bait/planted")


@escape("root", stopped_by=f"CAP_SYS_CHROOT is gone, and {_READ_ONLY}")
def break_out_of_a_chroot(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.there("/srv/bait/planted"), file="srv/bait/planted")


@escape("root", stopped_by="CAP_MKNOD is gone; the mount of its directory has nodev; the devices cgroup")
def write_a_disk_through_a_node(scene: Scene) -> Iterator[Bait]:
    with disk(scene) as (device, image):
        number = os.stat(device).st_rdev
        yield Bait(lambda: b"hostile" in image.read_bytes(), major=os.major(number), minor=os.minor(number))


@escape("root", stopped_by="/dev is private and has no disks")
def write_a_disk_of_the_hosts(scene: Scene) -> Iterator[Bait]:
    with disk(scene) as (device, image):
        yield Bait(lambda: b"hostile" in image.read_bytes(), device=device)


@escape("root", stopped_by=_NO_MOUNT)
def mount_a_disk_of_the_hosts(scene: Scene) -> Iterator[Bait]:
    with disk(scene, "mkfs.ext4", "-q", "-O", "^has_journal") as (device, image):
        number = os.stat(device).st_rdev
        words = {"major": os.major(number), "minor": os.minor(number)}
        yield Bait(lambda: b"planted-in-a-disk" in image.read_bytes(), **words)


class disk:
    """A loop device over a file of the test's: nobody else's disk is touched."""

    def __init__(self, scene: Scene, *make: str) -> None:
        self.image = scene.stage.srv / "image"
        self.image.write_bytes(bytes(1 << 20))
        if make:
            subprocess.run([*make, str(self.image)], check=True)

    def __enter__(self) -> tuple[str, Path]:
        found = subprocess.run(["losetup", "--find", "--show", str(self.image)], capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
        self.device = found.stdout.strip()
        return self.device, self.image

    def __exit__(self, *_: object) -> None:
        subprocess.run(["losetup", "--detach", self.device], check=True)
