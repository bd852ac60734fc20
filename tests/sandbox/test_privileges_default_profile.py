"""What the default profile denies, in real processes: each call is let through by the kernel without it."""

from __future__ import annotations

import errno
import os

import pytest
from filter_interpreter import run
from privileged import NOBODY, confined, python

from sandbox.seccomp import default
from sandbox.seccomp.numbers import NUMBERS
from sandbox.seccomp.profile import ALLOW, ERRNO
from sandbox.seccomp.program import AUDIT_ARCH, program

N = NUMBERS[os.uname().machine]
HIGH = 7 << 32


def both(code: str, **asked: object) -> tuple[object, object]:
    """Answers without the steps, and with them."""
    return python(code, plain=True, uid=asked.get("uid")), python(code, **asked)


#: Of calls that fail for root without a filter too (a null pointer, say), with something else than EPERM.
DENIED = """
    mount umount2 open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr pivot_root chroot
    setns ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp bpf perf_event_open userfaultfd
    io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key kexec_load kexec_file_load
    init_module finit_module delete_module reboot swapon swapoff acct quotactl quotactl_fd syslog clock_settime
    settimeofday open_by_handle_at fanotify_init mbind move_pages set_mempolicy get_mempolicy migrate_pages
    sethostname setdomainname vhangup lsm_list_modules lsm_get_self_attr lsm_set_self_attr
"""


def test_calls_that_containers_are_denied_are_denied_to_root() -> None:
    names = DENIED.split()
    answers = python(f"answer = [call(number, *[-1] * 6) for number in {[N[name] for name in names]}]")
    assert {name: answer for name, answer in zip(names, answers, strict=True) if answer != errno.EPERM} == {}


@pytest.mark.root
def test_without_the_profile_the_same_calls_reach_the_kernel() -> None:
    # Those that would do something with -1 are left out: hanging up the terminal, keys, restarting.
    names = [name for name in DENIED.split() if name not in ("vhangup", "reboot", "sethostname", "setdomainname")]
    answers = python(f"answer = [call(number, *[-1] * 6) for number in {[N[name] for name in names]}]", plain=True)
    assert [name for name, answer in zip(names, answers, strict=True) if answer == errno.EPERM] == []


@pytest.mark.root
def test_a_namespace_can_neither_be_left_nor_made() -> None:
    code = f"""
answer = [call({N["unshare"]}, flag) for flag in (0x10000000, 0x20000, 0x80, 0x400)]
"""
    assert both(code) == ([0, 0, 0, 0], [errno.EPERM, errno.EPERM, errno.EPERM, 0])


@pytest.mark.root
@pytest.mark.parametrize("flag", [0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000])
def test_a_process_cannot_be_born_in_a_namespace(flag: int) -> None:
    code = f"""
pid = libc.syscall(ctypes.c_long({N["clone"]}), ctypes.c_long({flag} | 17), None, None, None, None)
if pid == 0:
    os._exit(0)
answer = "born" if pid > 0 else ctypes.get_errno()
"""
    assert both(code) == ("born", errno.EPERM)


def test_threads_and_processes_are_made_as_ever() -> None:
    code = """
import threading, subprocess
threads = [threading.Thread(target=int) for _ in range(3)]
for each in threads: each.start()
for each in threads: each.join()
answer = subprocess.run(["sh", "-c", "(echo a; echo b) | sort -r"], capture_output=True, text=True).stdout
"""
    assert python(code) == "b\na\n"


def test_clone3_does_not_exist_so_that_the_c_library_takes_clone() -> None:
    assert both(f"answer = call({N['clone3']}, 0, 0)") == (errno.EINVAL, errno.ENOSYS)


def test_nothing_can_be_typed_into_a_terminal() -> None:
    code = """
import fcntl, pty, termios
ours, theirs = pty.openpty()
os.setsid()
fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
answer = [call(%d, theirs, request, id(b"x") + 32) for request in (0x5412, 0x5412 + (7 << 32), 0x541C)]
answer += [fcntl.ioctl(theirs, termios.TIOCGWINSZ, bytes(8)) == bytes(8)]
"""
    assert python(code % N["ioctl"]) == [errno.EPERM, errno.EPERM, errno.EPERM, True]
    plain = python(code % N["ioctl"], plain=True)
    assert errno.EPERM not in plain[:2]  # EIO where dev.tty.legacy_tiocsti is 0


def test_a_files_project_and_flags_stay_as_they_are() -> None:
    code = f"""
fd = os.open("/tmp", os.O_RDONLY)
flags = ctypes.create_string_buffer(64)
answer = [call({N["ioctl"]}, fd, request, 0) for request in (0x40086602, 0x40046602, 0x401C5820, 0x401C5820 + {HIGH})]
"""
    without, with_profile = both(code)
    assert with_profile == [errno.EOPNOTSUPP] * 4
    assert errno.EOPNOTSUPP not in without  # type: ignore[operator]


#: Families: UNIX, INET, INET6, NETLINK; then ALG, VSOCK, BLUETOOTH, and one with something above its 32 bits.
def test_sockets_are_of_the_families_that_everybody_uses() -> None:
    code = f"""
kinds = [(1, 1, 0), (2, 1, 0), (10, 2, 0), (16, 3, 0)]
kinds += [(38, 5, 0), (40, 1, 0), (31, 3, 0), (38 + {HIGH}, 5, 0), (16, 3, 9)]
answer = [call({N["socket"]}, *kind) for kind in kinds]
"""
    unsupported = errno.EAFNOSUPPORT
    assert python(code) == [0, 0, 0, 0, unsupported, unsupported, unsupported, unsupported, errno.EINVAL]
    assert python(code, plain=True)[5] == 0  # AF_VSOCK: out of the machine, past every network namespace


def test_pairs_of_sockets_are_of_the_same_families() -> None:
    code = f"""
pair = ctypes.create_string_buffer(8)
families = (1, 40, 38 + {HIGH}, 1 + {HIGH})
answer = [call({N["socketpair"]}, family, 1, 0, ctypes.addressof(pair)) for family in families]
"""
    without, with_profile = both(code)
    # AF_VSOCK is made, and then asked whether it knows pairs.
    assert without[:2] == [0, errno.EOPNOTSUPP]  # type: ignore[index]
    assert with_profile == [0, errno.EAFNOSUPPORT, errno.EAFNOSUPPORT, 0]


@pytest.mark.root
def test_a_lease_of_a_file_takes_the_capability() -> None:
    code = """
import fcntl, tempfile
with tempfile.NamedTemporaryFile() as file:
    reading = os.open(file.name, os.O_RDONLY)
    file.close()
    answer = [tried(fcntl.fcntl, reading, command, fcntl.F_WRLCK) for command in (fcntl.F_SETLEASE, 1040)]
    answer.append(tried(fcntl.fcntl, reading, fcntl.F_SETLK, bytes(32)))
"""
    assert python(code) == ["EINVAL", "EINVAL", "done"]
    assert python(code, plain=True)[0] == "done"
    assert python(code, capabilities_added=["LEASE"])[0] == "done"


@pytest.mark.root
def test_packets_take_the_capability() -> None:
    code = "answer = tried(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)"
    assert python(code) == "EAFNOSUPPORT"
    assert python(code, capabilities_added=["NET_RAW"]) == "done"


def test_personalities_are_the_harmless_ones() -> None:
    values = [0xFFFFFFFF, 0x8, 0, 0x40000, 0x400000, 0x40000 + HIGH]
    code = f"answer = [call({N['personality']}, each) for each in {values}]"
    without, with_profile = both(code)
    assert without == [0] * 6
    assert with_profile == [0, 0, 0, errno.EPERM, errno.EPERM, errno.EPERM]
    assert python(code, trace=True) == [0, 0, 0, 0, errno.EPERM, 0]


def test_a_process_of_the_same_user_can_be_traced_only_where_it_is_asked() -> None:
    code = f"""
import signal
child = os.fork()
if child == 0:
    signal.pause()
answer = call({N["ptrace"]}, 16, child, 0, 0)
os.kill(child, 9)
"""
    assert both(code) == (0, errno.EPERM)
    assert python(code, trace=True) == 0


@pytest.mark.root
@pytest.mark.parametrize(
    ("capability", "name"),
    [
        ("SYS_ADMIN", "mount"),
        ("SYS_ADMIN", "setns"),
        ("SYS_ADMIN", "clone3"),
        ("SYS_PTRACE", "ptrace"),
        ("SYS_TIME", "clock_settime"),
        ("SYS_CHROOT", "chroot"),
        ("SYS_NICE", "mbind"),
        ("DAC_READ_SEARCH", "open_by_handle_at"),
        ("BPF", "bpf"),
        ("PERFMON", "perf_event_open"),
        ("SYS_PACCT", "acct"),
    ],
)
def test_a_capability_opens_the_calls_that_it_is_for(capability: str, name: str) -> None:
    code = f"answer = call({N[name]}, *[-1] * 6)"
    assert python(code) in (errno.EPERM, errno.ENOSYS)
    assert python(code, capabilities_added=[f"CAP_{capability}"]) not in (errno.EPERM, errno.ENOSYS)


@pytest.mark.parametrize(
    ("capability", "names"),
    [
        ("SYS_MODULE", {"init_module", "finit_module", "delete_module"}),
        ("SYS_BOOT", {"reboot"}),
        ("SYS_RAWIO", {"iopl", "ioperm"}),
        ("SYS_TTY_CONFIG", {"vhangup"}),
        ("SYSLOG", {"syslog"}),
        ("SYS_PTRACE", {"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp"}),
        ("CHOWN", set()),
    ],
)
def test_a_capability_opens_no_other_calls(capability: str, names: set[str]) -> None:
    def denied(*capabilities: str) -> set[str]:
        return {rule.name for rule in default.profile(capabilities).rules}

    assert denied() - denied(capability) == names


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the 32 bit entry of x86_64")
def test_a_call_through_the_32_bit_entry_ends_the_process() -> None:
    # mov eax, 20 (getpid); int 0x80; ret
    code = """
import mmap
memory = mmap.mmap(-1, 4096, prot=7)
memory.write(bytes.fromhex("b814000000cd80c3"))
pid = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
answer = pid == os.getpid()
"""
    assert python(code, plain=True) is True
    done = confined(["/usr/bin/python3", "-I", "-c", "import ctypes, os\n" + code])
    assert done.returncode == -31  # SIGSYS


def test_calls_newer_than_the_tables_do_not_exist() -> None:
    newest = max(N.values())
    assert python(f"answer = [call(number) for number in ({newest + 1}, {newest + 999}, 0x40000027)]") == [38] * 3


def test_unconfined_is_without_a_filter() -> None:
    code = "answer = status('Seccomp', 'NoNewPrivs')"
    assert python(code) == ["2", "1"]
    assert python(code, seccomp="unconfined") == ["0", "1"]


@pytest.mark.root
@pytest.mark.parametrize("uid", [0, NOBODY])
def test_ordinary_programs_run_as_ever(uid: int) -> None:
    script = """
    set -e
    cd "$(mktemp -d)"
    mkdir a && echo text > a/file && cp -a a b && tar cf - a | tar tf - > list && gzip list && gunzip list.gz
    grep -q file list && find . -name file | xargs wc -c > /dev/null && ln -s a link && mv b c && rm -r a c
    python3 -c 'import asyncio, json, socket, ssl, sqlite3, subprocess, threading; asyncio.run(asyncio.sleep(0))'
    perl -e 'fork; wait; print "done\\n" if $$'  > /dev/null
    nice -n 5 timeout 5 env true
    python3 -c 'import multiprocessing as m; print(sum(m.Pool(2).map(abs, range(10))))'
    """
    done = confined(["sh", "-c", script], uid=uid)
    assert (done.returncode, done.stdout, done.stderr) == (0, "45\n", "")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_flag_of_a_namespace_is_denied_by_the_profile_itself(machine: str) -> None:
    text = program(default.profile(()), machine)

    def answer(name: str, flags: int) -> int:
        return run(text, AUDIT_ARCH[machine], NUMBERS[machine][name], (flags, 0, 0, 0, 0, 0))

    flags = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
    for each in flags:
        assert answer("clone", each | 17) == answer("unshare", each) == ERRNO | errno.EPERM
    assert answer("unshare", 0x80) == ERRNO | errno.EPERM
    assert answer("clone", 0x003D0F00) == answer("clone", 17) == answer("unshare", 0x600) == ALLOW  # threads, fork


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_it_is_a_small_program_on_each_machine(machine: str) -> None:
    assert len(program(default.profile(()), machine)) // 8 < 255
