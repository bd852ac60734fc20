"""Escapes into other processes: their memory, descriptors and secrets; signals, priorities, terminals, IPC and keys."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from escapes import Bait, Process, Scene, command_line, dead, escape, status
from hostile_calls import add_key, join_session_keyring, user_keyring

from sandbox.privileges.doing import landlock_version

_UNSEEN = "its pid namespace and its /proc show no process of the host's"
_NO_PTRACE = f"{_UNSEEN}; CAP_SYS_PTRACE is gone, seccomp denies ptrace(2) and its kin"


def changed(scene: Scene, victim: Process) -> bool:
    return scene.memory(victim).startswith(b"hostile")


def in_memory(scene: Scene) -> Iterator[Bait]:
    victim = scene.victim()
    yield Bait(lambda: changed(scene, victim), pid=victim.inner, address=victim.said[1])


@escape("root", "mallory", stopped_by=_NO_PTRACE)
def ptrace_a_host_process(scene: Scene) -> Iterator[Bait]:
    yield from in_memory(scene)


@escape("root", "mallory", stopped_by=_NO_PTRACE)
def write_memory_by_process_vm_writev(scene: Scene) -> Iterator[Bait]:
    yield from in_memory(scene)


@escape("root", "mallory", stopped_by=_NO_PTRACE)
def write_memory_through_proc(scene: Scene) -> Iterator[Bait]:
    yield from in_memory(scene)


@escape("root", "mallory", stopped_by=_NO_PTRACE)
def read_memory_by_process_vm_readv(scene: Scene) -> Iterator[Bait]:
    victim = scene.victim()
    yield Bait(scene.heard, pid=victim.inner, address=victim.said[1])


@escape("root", "mallory", stopped_by=_NO_PTRACE)
def steal_a_descriptor_by_pidfd_getfd(scene: Scene) -> Iterator[Bait]:
    yield from kept_file(scene)


@escape("root", "mallory", stopped_by=_UNSEEN)
def open_a_descriptor_through_proc(scene: Scene) -> Iterator[Bait]:
    yield from kept_file(scene)


def kept_file(scene: Scene) -> Iterator[Bait]:
    victim = scene.victim()
    file = Path(f"/proc/{victim.pid}/fd/{victim.said[2]}")
    yield Bait(lambda: file.read_bytes() == b"hostile", pid=victim.inner, fd=victim.said[2])


@escape("root", "mallory", stopped_by=_UNSEEN)
def read_the_environment_of_others(scene: Scene) -> Iterator[Bait]:
    scene.victim(PASSWORD=scene.secret)
    yield Bait(scene.heard)


@escape("root", stopped_by=_UNSEEN)
def read_the_environment_of_the_keeper(scene: Scene) -> Iterator[Bait]:
    scene.environment["PASSWORD_OF_THE_AGENT"] = scene.secret
    yield Bait(scene.heard)


@escape("mallory", stopped_by=_UNSEEN)
def read_the_arguments_of_roots_processes(scene: Scene) -> Iterator[Bait]:
    scene.victim(f"--password={scene.secret}", uid=0)
    yield Bait(scene.heard)


@escape("root", stopped_by=f"{_UNSEEN}: of process 1 in there the root is the sandbox's")
def write_through_the_root_of_pid_1(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.there("/srv/bait/planted"), pid=1, file="/srv/bait/planted")


@escape("root", stopped_by="until it executes its program a process is not dumpable: /proc/PID/exe is nobody's")
def take_the_hosts_interpreter_from_one_that_starts(scene: Scene) -> Iterator[Bait]:
    """Beside it others are started all the time; a file that is held can be written once nobody executes it."""
    short = {"name": "again", "argv": ["/bin/sleep", "0.05"], "min_duration": 0}
    scene.more_processes.append({**short, "daemon": True, "ephemeral": True, "max_failures": 0})
    interpreter = os.path.realpath(sys.executable)
    yield Bait(lambda: scene.has_open(interpreter))


@escape("root", "mallory", stopped_by=_UNSEEN)
def make_a_host_process_the_first_to_be_killed(scene: Scene) -> Iterator[Bait]:
    victim = scene.victim()
    file = Path(f"/proc/{victim.pid}/oom_score_adj")
    yield Bait(lambda: file.read_text() == "1000\n", pid=victim.inner)


# -- signals


def to_be_killed(scene: Scene) -> Iterator[Bait]:
    victim = scene.victim()
    yield Bait(victim.dead, patience=0.3, pid=victim.inner)  # whoever kills everybody is dead sooner than some


@escape("root", "mallory", stopped_by=_UNSEEN)
def kill_a_host_process(scene: Scene) -> Iterator[Bait]:
    yield from to_be_killed(scene)


@escape("root", "mallory", stopped_by=_UNSEEN)
def kill_everything(scene: Scene) -> Iterator[Bait]:
    yield from to_be_killed(scene)


@escape("root", "mallory", stopped_by=_UNSEEN)
def kill_by_pidfd(scene: Scene) -> Iterator[Bait]:
    yield from to_be_killed(scene)


@escape("root", "mallory", stopped_by=_UNSEEN)
def have_the_kernel_send_the_signal(scene: Scene) -> Iterator[Bait]:
    yield from to_be_killed(scene)


def part_of_thermos(scene: Scene, name: str) -> int:
    """The keeper's or the supervisor's pid, as we see it; 0: not there."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and f"thermos.runtime.{name}" in command_line(int(entry)):
            with contextlib.suppress(OSError):  # gone meanwhile
                if os.readlink(f"/proc/{entry}/ns/pid") == os.readlink(f"/proc/{scene.stage.pid}/ns/pid"):
                    return int(entry)
    return 0


def part_to_be_killed(scene: Scene, name: str) -> Iterator[Bait]:
    """The program waits until we have seen the part that it is to kill: until then there is nothing to miss.

    At the end of the task they go by themselves: harm is that one is gone and the program is there.
    """
    seen: list[int] = []

    def killed() -> bool:
        if seen:
            return dead(seen[0]) and bool(scene.processes())
        found = part_of_thermos(scene, name)
        if found and scene.processes():
            seen.append(found)
            scene.outside(f"{scene.where}/go").touch()
        return False

    yield Bait(killed, part=name)


@escape("root", stopped_by=_UNSEEN)
def kill_the_keeper(scene: Scene) -> Iterator[Bait]:
    yield from part_to_be_killed(scene, "keeper")


@escape("root", stopped_by=_UNSEEN)
def kill_the_supervisor(scene: Scene) -> Iterator[Bait]:
    yield from part_to_be_killed(scene, "supervisor")


# -- what one process may do to another's circumstances


@escape("root", "mallory", stopped_by=_UNSEEN)
def renice_all_processes_of_a_user(scene: Scene) -> Iterator[Bait]:
    victim = scene.victim()
    yield Bait(lambda: os.getpriority(os.PRIO_PROCESS, victim.pid) == 19)


@escape("root", "mallory", stopped_by=_UNSEEN)
def lower_the_limits_of_a_host_process(scene: Scene) -> Iterator[Bait]:
    victim = scene.victim()
    limits = Path(f"/proc/{victim.pid}/limits")
    yield Bait(lambda: "Max open files            3 " in limits.read_text(), pid=victim.inner)


@escape("root", "mallory", stopped_by=_UNSEEN)
def bind_a_host_process_to_a_processor(scene: Scene) -> Iterator[Bait]:
    victim = scene.victim()
    all_of_them = os.sched_getaffinity(victim.pid)
    if len(all_of_them) < 2:
        # One processor leaves nothing to take away: the scheduling policy tells as well.
        yield Bait(lambda: os.sched_getscheduler(victim.pid) == os.SCHED_IDLE, pid=victim.inner)
    else:
        yield Bait(lambda: os.sched_getaffinity(victim.pid) != all_of_them, pid=victim.inner)


# -- terminals


@escape("root", stopped_by="/dev/pts is a new one; CAP_SYS_ADMIN is gone, seccomp denies ioctl TIOCSTI")
def type_into_the_agents_terminal(scene: Scene) -> Iterator[Bait]:
    yield from terminal(scene)


@escape("root", stopped_by="/dev/pts is a new one")
def write_on_the_agents_terminal(scene: Scene) -> Iterator[Bait]:
    yield from terminal(scene)


_TERMINAL = """
import os, pty, select, sys, termios, tty
ours, theirs = os.openpty()
tty.setraw(theirs)
print(os.getpid(), os.ttyname(theirs), flush=True)
heard = b""
while True:
    ready, _, _ = select.select([ours, theirs], [], [])
    heard += os.read(ready[0], 100)
    open("/srv/bait/heard", "wb").write(heard)
"""


def terminal(scene: Scene) -> Iterator[Bait]:
    holder = scene.stage.start(_TERMINAL)
    yield Bait(lambda: scene.text("/srv/bait/heard") == "hostile", patience=0.3, terminal=holder.said[1])


# -- IPC


@escape("root", "mallory", stopped_by="its ipc namespace is its own")
def read_shared_memory_of_the_hosts(scene: Scene) -> Iterator[Bait]:
    code = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
number = libc.shmget(0, 4096, 0o1600)
ctypes.memmove(ctypes.c_void_p(libc.shmat(number, None, 0)), sys.argv[1].encode(), len(sys.argv[1]))
print(os.getpid(), number, flush=True)
signal.pause()
"""
    holder = scene.stage.start(code, scene.secret, uid=scene.uid)
    yield Bait(scene.heard, number=holder.said[1])


@escape("root", "mallory", stopped_by="its ipc namespace is its own: what it leaves goes with it")
def leave_shared_memory_behind(scene: Scene) -> Iterator[Bait]:
    """Memory that no process is charged with any more."""

    def left() -> bool:
        return str(48 << 20) in scene.stage.ask("print(open('/proc/sysvipc/shm').read())").split()

    yield Bait(left, only_at_the_end=True)


@escape("root", "mallory", stopped_by="its ipc namespace is its own")
def write_to_a_message_queue_of_the_hosts(scene: Scene) -> Iterator[Bait]:
    code = """
import ctypes, os
libc = ctypes.CDLL(None)
queue = libc.mq_open(b"/escapes", os.O_CREAT | os.O_RDONLY, 0o600, None)
print(os.getpid(), flush=True)
said = ctypes.create_string_buffer(8192)
libc.mq_receive(queue, said, 8192, None)
print(said.value.decode(), flush=True)
"""
    holder = scene.stage.start(code, uid=scene.uid)
    said = holder.popen.stdout
    assert said is not None
    os.set_blocking(said.fileno(), False)
    heard: list[str] = []

    def harmed() -> bool:
        heard.append(said.readline())
        return "hostile\n" in heard

    yield Bait(harmed)


@escape(
    "root",
    "mallory",
    stopped_by="its network namespace: sandbox.network is none or private (with host nothing stops it)",
    sandbox={"network": "none"},
)
def reach_an_abstract_socket_of_the_hosts(scene: Scene) -> Iterator[Bait]:
    yield from served(scene, "\0escapes")


@escape(
    "root",
    "mallory",
    stopped_by="sandbox.landlock.scope: abstract_unix_socket (nothing else, with the host's network)",
    sandbox={"landlock": {"scope": ["abstract_unix_socket"]}},
)
def reach_an_abstract_socket_on_the_hosts_network(scene: Scene) -> Iterator[Bait]:
    if landlock_version() < 6:
        pytest.skip("Linux 6.12 has this scope of Landlock, this kernel has not")
    yield from served(scene, "\0escapes")


@escape("root", "mallory", stopped_by="/run is not the host's: a read-only mount does not keep anybody from connecting")
def reach_a_control_socket_in_run(scene: Scene) -> Iterator[Bait]:
    yield from served(scene, "/run/escapes.sock")


@escape(
    "root", "mallory", stopped_by="/run is not the host's: a read-only mount does not keep anybody from writing to it"
)
def write_to_a_fifo_in_run(scene: Scene) -> Iterator[Bait]:
    code = """
import os
os.mkfifo("/run/escapes.fifo")
os.chmod("/run/escapes.fifo", 0o666)
fd = os.open("/run/escapes.fifo", os.O_RDWR)
print(os.getpid(), flush=True)
open("/srv/bait/heard", "wb").write(os.read(fd, 100))
"""
    scene.stage.start(code)
    yield Bait(lambda: scene.text("/srv/bait/heard") == "hostile", patience=0.3)


def served(scene: Scene, address: str) -> Iterator[Bait]:
    """Somebody on the host who does what is written to a socket, as container engines and service managers do."""
    code = """
import os, socket, sys
address = sys.argv[1].replace("@", "\\0")
server = socket.socket(socket.AF_UNIX)
server.bind(address)
if address[0] == "/":
    os.chmod(address, 0o666)
server.listen()
print(os.getpid(), flush=True)
open("/srv/bait/heard", "wb").write(server.accept()[0].recv(100))
"""
    scene.stage.start(code, address.replace("\0", "@"))
    yield Bait(lambda: scene.text("/srv/bait/heard") == "hostile", patience=0.3)


# -- keys


@escape("root", "mallory", plainly=True, stopped_by="its session keyring is a new one; seccomp denies keyctl(2)")
def read_a_key_of_the_agents_session(scene: Scene) -> Iterator[Bait]:
    def give() -> None:
        join_session_keyring()
        add_key("escapes-of-session", scene.secret)

    scene.before = give
    yield Bait(scene.heard)


@escape("root", "mallory", stopped_by="seccomp denies keyctl(2), add_key(2), request_key(2)")
def read_a_key_of_its_user(scene: Scene) -> Iterator[Bait]:
    with user_keyring(scene.uid, f"escapes-{scene.stage.token}", scene.secret):
        yield Bait(scene.heard, description=f"escapes-{scene.stage.token}")


@escape("root", "mallory", plainly=True, stopped_by="no descriptor but 0, 1 and 2 is inherited")
def write_to_inherited_descriptors(scene: Scene) -> Iterator[Bait]:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    scene.pass_fds = (writer,)

    def harmed() -> bool:
        try:
            return b"hostile" in os.read(reader, 100)
        except BlockingIOError:
            return False

    try:
        yield Bait(harmed)
    finally:
        os.close(reader)
        os.close(writer)


# -- other gains of privilege


@escape("mallory", plainly=True, stopped_by="no_new_privs; the mounts have nosuid")
def use_a_set_uid_program(scene: Scene) -> Iterator[Bait]:
    yield from touched(scene, copy_of_touch(scene, 0o4755))


@escape("mallory", plainly=True, stopped_by="no_new_privs; the mounts have nosuid")
def use_file_capabilities(scene: Scene) -> Iterator[Bait]:
    program = copy_of_touch(scene, 0o755)
    dac_override_effective = struct.pack("<5I", 0x02000001, 1 << 1, 0, 0, 0)
    os.setxattr(scene.outside(program), "security.capability", dac_override_effective)
    yield from touched(scene, program)


def touched(scene: Scene, program: str) -> Iterator[Bait]:
    """A file is made where only root may."""
    kept = scene.folder("roots", mode=0o700)
    yield Bait(lambda: scene.there(f"{kept}/touched"), program=program, file=f"{kept}/touched")


def copy_of_touch(scene: Scene, mode: int) -> str:
    program = scene.file("touch")
    scene.outside(program).write_bytes(Path("/usr/bin/touch").read_bytes())
    scene.outside(program).chmod(mode)
    return program


@escape("root", stopped_by="CAP_SYS_NICE is gone")
def be_nicer_to_itself(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.any_process(lambda pid: os.getpriority(os.PRIO_PROCESS, pid) < 0))


@escape("root", plainly=True, stopped_by="CAP_SYS_NICE is gone; no real-time budget in its cpu cgroup (version 1)")
def take_a_real_time_priority(scene: Scene) -> Iterator[Bait]:
    if "cpu" in scene.stage.groups:
        Path(scene.stage.groups["cpu"], "cpu.rt_runtime_us").write_text("10000")
    yield Bait(lambda: scene.any_process(lambda pid: os.sched_getscheduler(pid) != os.SCHED_OTHER))


@escape("root", stopped_by="CAP_SYS_NICE and CAP_SYS_ADMIN are gone")
def take_a_real_time_priority_of_input_and_output(scene: Scene) -> Iterator[Bait]:
    libc = ctypes.CDLL(None)
    number = 31 if os.uname().machine == "aarch64" else 252  # ioprio_get
    yield Bait(lambda: scene.any_process(lambda pid: libc.syscall(number, 1, pid) >> 13 == 1))


@escape("root", stopped_by="CAP_IPC_LOCK is gone, and it has a limit of locked memory")
def lock_more_memory_than_it_may(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.any_process(lambda pid: int(status(pid).get("VmLck", "0").split()[0]) > 16 << 10))
