"""Escapes by what the kernel has but once: its settings, its log, its clock, its devices, and its less used calls."""

from __future__ import annotations

import ctypes
import fcntl
import os
import secrets
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from escapes import Bait, Scene, escape
from rows_of_mounts import disk, sysctl

_READ_ONLY = "/proc/sys and the like are read-only, or masked"
_NO_ADMIN = "CAP_SYS_ADMIN is gone"
_LOG = "CAP_SYSLOG is gone, seccomp denies syslog(2)"


# -- settings


@escape("root", stopped_by=_READ_ONLY)
def write_a_setting_of_the_kernels(scene: Scene) -> Iterator[Bait]:
    yield from sysctl("kernel/printk_ratelimit_burst")


@escape("root", stopped_by=f"{_READ_ONLY}; nothing of the host's is executed for a crash in here")
def have_the_kernel_run_a_program_at_a_crash(scene: Scene) -> Iterator[Bait]:
    file = Path("/proc/sys/kernel/core_pattern")
    marker = scene.stage.srv / "crashed"
    program = scene.stage.srv / "handler"
    program.write_text(f"#!/bin/sh\necho $(id -u) > {marker}\n")
    program.chmod(0o755)
    before = file.read_text()
    try:
        # The kernel looks for it in the machine's own root, where the stage's /srv is elsewhere.
        yield Bait(marker.exists, patience=0.5, program=program)
    finally:
        file.write_text(before)


@escape("root", stopped_by=f"{_NO_ADMIN}: there is nothing to mount it with")
def have_the_kernel_run_a_program_for_a_file(scene: Scene) -> Iterator[Bait]:
    """An interpreter for files of a kind that only this test knows: whoever executes one runs it."""
    name = "escapes" + secrets.token_hex(4)
    magic = scene.file("odd", f"{name}\n", mode=0o755)
    interpreter = scene.file("interpreter", "#!/bin/sh\necho hostile > /srv/bait/ran\n", mode=0o755)
    mounted = scene.stage.srv / "binfmt"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "binfmt_misc", "none", str(mounted)], check=True)

    def harmed() -> bool:
        scene.stage.ask(f"import subprocess\ntry: subprocess.run([{magic!r}])\nexcept OSError: pass")
        return scene.there("/srv/bait/ran")

    try:
        yield Bait(harmed, only_at_the_end=True, name=name, interpreter=interpreter)
    finally:
        if (mounted / name).exists():
            (mounted / name).write_text("-1")
        subprocess.run(["umount", str(mounted)], check=True)


@escape("root", stopped_by="/sys is read-only")
def write_a_setting_of_a_device(scene: Scene) -> Iterator[Bait]:
    with disk(scene) as (device, _):
        file = Path("/sys/block", Path(device).name, "queue/read_ahead_kb")
        before = file.read_text()
        try:
            yield Bait(lambda: file.read_text() == "64\n", file=file)
        finally:
            file.write_text(before)


@escape("root", stopped_by=f"{_NO_ADMIN}: there is nothing to mount it with")
def write_to_the_kernels_trace(scene: Scene) -> Iterator[Bait]:
    mounted = scene.stage.srv / "tracing"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tracefs", "none", str(mounted)], check=True)
    marker = f"planted-{scene.stage.token}"
    try:
        yield Bait(lambda: marker in (mounted / "trace").read_text(), marker=marker)
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


@escape("root", stopped_by=_LOG)
def choose_what_comes_on_the_console(scene: Scene) -> Iterator[Bait]:
    file = Path("/proc/sys/kernel/printk")
    before = file.read_text()
    level = int(before.split()[0])
    other = 6 if level != 6 else 5
    try:
        yield Bait(lambda: file.read_text().split()[0] == str(other), level=other)
    finally:
        if file.read_text() != before:
            file.write_text(before)


# -- its log and its addresses


def logged(text: str) -> None:
    Path("/dev/kmsg").write_text(f"<7>escapes: {text}\n")


def log() -> str:
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    said = b""
    try:
        while True:
            try:
                said += os.read(fd, 8192)
            except BrokenPipeError:
                continue  # overwritten meanwhile
            except BlockingIOError:
                return said.decode(errors="replace")
    finally:
        os.close(fd)


@escape("root", stopped_by=_LOG)
def read_the_kernels_log(scene: Scene) -> Iterator[Bait]:
    logged(scene.secret)
    yield Bait(scene.heard)


@escape("root", stopped_by="/dev is private and has no kmsg")
def read_the_kernels_log_as_a_file(scene: Scene) -> Iterator[Bait]:
    logged(scene.secret)
    yield Bait(scene.heard)


@escape("root", stopped_by="/dev is private and has no kmsg")
def write_to_the_kernels_log(scene: Scene) -> Iterator[Bait]:
    marker = f"planted-{scene.stage.token}"
    yield Bait(lambda: marker in log(), marker=marker)


@escape("root", "mallory", stopped_by="/proc/kallsyms is masked")
def read_the_kernels_addresses(scene: Scene) -> Iterator[Bait]:
    with open("/proc/kallsyms") as file:
        scene.secret = next(line.split()[0] for line in file if int(line.split()[0], 16) > 0)
    yield Bait(scene.heard)


# -- the clock and the name


@escape("root", stopped_by="CAP_SYS_TIME is gone, seccomp denies clock_settime(2)")
def set_the_clock(scene: Scene) -> Iterator[Bait]:
    """To the time that it has: a timer that is to be told of every setting of the clock tells."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer = libc.timerfd_create(0, os.O_NONBLOCK)  # CLOCK_REALTIME
    assert timer >= 0
    ever = struct.pack("4q", 0, 0, 1 << 40, 0)
    assert libc.timerfd_settime(timer, 3, ever, None) == 0  # TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET

    def harmed() -> bool:
        try:
            os.read(timer, 8)
        except BlockingIOError:
            return False
        except OSError:  # ECANCELED: it has been set
            return True
        return False

    try:
        yield Bait(harmed)
    finally:
        os.close(timer)


@escape("root", stopped_by="CAP_SYS_TIME is gone")
def adjust_the_clock(scene: Scene) -> Iterator[Bait]:
    """What it takes for the clock's error: nothing goes by that."""
    libc = ctypes.CDLL(None, use_errno=True)

    def error() -> int:
        state = ctypes.create_string_buffer(256)
        assert libc.adjtimex(state) >= 0
        (found,) = struct.unpack_from("q", state, 32)
        return int(found)

    before = error()
    asked = 4242 if before != 4242 else 4243
    try:
        yield Bait(lambda: error() == asked, error=asked)
    finally:
        state = ctypes.create_string_buffer(struct.pack("I4xqqqq", 8, 0, 0, 0, before), 256)  # ADJ_ESTERROR
        libc.adjtimex(state)


@escape("root", stopped_by="its uts namespace is its own; CAP_SYS_ADMIN is gone")
def rename_the_host(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.stage.ask("import os; print(os.uname().nodename)") == "planted", only_at_the_end=True)


@escape("root", stopped_by="CAP_SYS_BOOT is gone, seccomp denies reboot(2); its pid namespace is its own")
def reboot(scene: Scene) -> Iterator[Bait]:
    """The first process of a pid namespace is what such a call ends: of the stage, then, or of the sandbox.

    The program looks first whether it is in the machine's own pid namespace, and does nothing there.
    """
    ours = os.stat("/proc/self/ns/pid").st_ino
    # What ran on the stage is killed before its first process is over.
    yield Bait(scene.stage.dead, patience=0.5, machine=ours)


@escape("root", stopped_by=_NO_ADMIN + ", seccomp denies swapon(2)")
def swap_to_a_file(scene: Scene) -> Iterator[Bait]:
    name = f"swap-{scene.stage.token}"
    path = scene.stage.srv / scene.where.removeprefix("/srv/") / name

    def on() -> bool:
        return name in Path("/proc/swaps").read_text()

    try:
        yield Bait(on, name=name)
    finally:
        if on():
            assert ctypes.CDLL(None).swapoff(bytes(path)) == 0


@escape("root", stopped_by="CAP_SYS_PACCT is gone, seccomp denies acct(2)")
def keep_accounts_of_the_hosts_processes(scene: Scene) -> Iterator[Bait]:
    file = scene.file("accounts")
    yield Bait(lambda: scene.outside(file).stat().st_size > 0, file=file)


# -- calls that open large parts of the kernel


@escape("root", stopped_by="CAP_BPF and CAP_SYS_ADMIN are gone, seccomp denies bpf(2)")
def load_bpf(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.has_open("bpf-map"))


@escape("root", "mallory", stopped_by="seccomp denies perf_event_open(2)")
def watch_by_perf(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.has_open("[perf_event]"))


@escape("root", stopped_by="CAP_PERFMON and CAP_SYS_ADMIN are gone, seccomp denies perf_event_open(2)")
def watch_the_whole_machine_by_perf(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.has_open("[perf_event]"))


@escape("root", "mallory", stopped_by="seccomp denies userfaultfd(2)")
def stop_the_kernel_by_userfaultfd(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.has_open("[userfaultfd]"))


@escape("root", "mallory", stopped_by="seccomp denies io_uring_setup(2)")
def make_calls_by_io_uring(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.has_open("[io_uring]"))


@escape("root", stopped_by=_NO_ADMIN + ", seccomp denies fanotify_init(2)")
def watch_the_hosts_files(scene: Scene) -> Iterator[Bait]:
    """Somebody opens a file with a secret in its name again and again."""
    code = """
import os, sys, time
print(os.getpid(), flush=True)
while True:
    open("/srv/bait/" + sys.argv[1], "w").close()
    time.sleep(0.01)
"""
    scene.stage.start(code, scene.secret)
    yield Bait(scene.heard)


@escape("root", "mallory", stopped_by="seccomp denies personality(2) but for the usual values")
def lay_out_its_memory_where_it_can_be_guessed(scene: Scene) -> Iterator[Bait]:
    def test(pid: int) -> bool:
        return int(Path(f"/proc/{pid}/personality").read_text(), 16) & 0x0040000 != 0

    yield Bait(lambda: scene.any_process(test))


# -- devices


@escape("root", stopped_by="/dev is private and has no loop-control")
def add_a_disk(scene: Scene) -> Iterator[Bait]:
    number = 100000 + secrets.randbelow(100000)

    def there() -> bool:
        return Path(f"/sys/block/loop{number}").exists()

    try:
        yield Bait(there, number=number)
    finally:
        if there():
            control = os.open("/dev/loop-control", os.O_RDWR)
            fcntl.ioctl(control, 0x4C81, number)  # LOOP_CTL_REMOVE
            os.close(control)


@escape("root", stopped_by="/dev is private and has six devices; CAP_MKNOD is gone; the devices cgroup")
def open_devices_of_the_hosts(scene: Scene) -> Iterator[Bait]:
    """Those that are of no use to it: the oracle goes by their numbers, whatever they are called inside."""
    useless = {
        os.stat(f"/dev/{name}").st_rdev for name in ("kvm", "fuse", "tty0", "hwrng") if os.path.exists(f"/dev/{name}")
    }
    assert useless

    def test(pid: int) -> bool:
        return any(os.stat(fd).st_rdev in useless for fd in Path(f"/proc/{pid}/fd").iterdir())

    yield Bait(lambda: scene.any_process(test))
