"""Each step of a start that fails is named, and nothing was executed; and what is executed gets a clean slate."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from deadline import until
from starting import STARTER, Start

NOBODY = [65534, 65534, [65534]]

#: What a process can see of itself. Descriptor 3 is the one that lists the others.
LOOK = """
import json, os, signal, resource
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
umask = os.umask(0)
print(json.dumps({
    "ignored": status["SigIgn"], "blocked": status["SigBlk"], "privileges": status["NoNewPrivs"],
    "uid": status["Uid"].split(), "gid": status["Gid"].split(), "groups": status["Groups"].split(),
    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")), "umask": umask,
    "session": os.getsid(0) == os.getpid(), "group": os.getpgid(0) == os.getpid(), "cwd": os.getcwd(),
    "stdin": os.readlink("/proc/self/fd/0"), "stdout": os.readlink("/proc/self/fd/1"), "env": dict(os.environ),
}))
"""
# By a shell: an interpreter sets SIGPIPE and SIGXFSZ to be ignored before it looks.
SIGNALS = ["/bin/sh", "-c", "grep -E 'Sig(Ign|Blk|Cgt)' /proc/self/status"]


def look(start: Start, **asked: object) -> dict[str, object]:
    answer = start(["/usr/bin/python3", "-I", "-c", LOOK], **asked)
    assert (answer["status"], answer["err"]) == (0, "")
    seen: dict[str, object] = json.loads(answer["out"])
    return seen


# -- failures


def failed(answer: dict[str, object], never: Path) -> tuple[object, object]:
    """(step, errno), the same to the parent, in the status and to `never`."""
    assert answer["status"] == 127
    assert never.read_text() == f"{answer['step']}|{answer['errno']}|{answer['text']}\n"
    return answer["step"], answer["errno"]


@pytest.fixture
def never(directory: Path) -> Path:
    return directory.parent / "never"


def test_a_missing_program_is_named(start: Start, never: Path) -> None:
    answer = start(["/no/such/program"])
    assert failed(answer, never) == ("execute /no/such/program", errno.ENOENT)
    assert answer["text"] == "No such file or directory"


def test_a_program_that_path_does_not_have_is_named(start: Start, never: Path) -> None:
    answer = start(["nosuchprogram"])
    assert failed(answer, never) == ("execute nosuchprogram", errno.ENOENT)


def test_a_file_that_is_no_program_is_named(start: Start, directory: Path, never: Path) -> None:
    (directory / "text").write_text("hello")
    answer = start([str(directory / "text")])
    assert failed(answer, never) == (f"execute {directory}/text", errno.EACCES)


def test_a_program_that_may_not_be_executed_does_not_hide_one_that_may(start: Start, directory: Path) -> None:
    (directory / "true").write_text("hello")
    (directory / "closed").mkdir(mode=0)
    answer = start(["true"], env={"PATH": f"{directory}:{directory}/closed:/nowhere:/usr/bin"})
    assert answer["status"] == 0


def test_a_program_that_may_not_be_executed_anywhere_says_so(start: Start, directory: Path, never: Path) -> None:
    (directory / "only").write_text("hello")
    answer = start(["only"], env={"PATH": f"{directory}:/usr/bin"})
    assert failed(answer, never) == ("execute only", errno.EACCES)


def test_a_list_of_arguments_that_is_too_long_is_named(start: Start, never: Path) -> None:
    answer = start(["/bin/echo", "x" * (1 << 18)])
    assert failed(answer, never) == ("execute /bin/echo", errno.E2BIG)


def test_a_directory_that_is_gone_is_named(start: Start, never: Path) -> None:
    answer = start(["/bin/true"], directory="/no/such/directory")
    assert failed(answer, never) == ("enter its directory", errno.ENOENT)
    assert answer["text"] == "No such file or directory (/no/such/directory)"


def test_a_log_directory_that_is_a_file_is_named(start: Start, directory: Path, never: Path) -> None:
    (directory / ".logs").write_text("")
    answer = start(["/bin/true"])
    assert failed(answer, never)[0] == "open its logs"


def test_a_log_that_is_a_link_is_not_followed(start: Start, directory: Path, never: Path) -> None:
    (directory / ".logs/p/0").mkdir(parents=True)
    (directory / ".logs/p/0/stdout").symlink_to(directory.parent / "elsewhere")
    assert failed(start(["/bin/true"]), never) == ("open its logs", errno.ELOOP)
    assert not (directory.parent / "elsewhere").exists()


def test_a_group_that_is_gone_is_named(start: Start, never: Path) -> None:
    answer = start(["/bin/true"], cgroups=["/sys/fs/cgroup/no-such-group/cgroup.procs"])
    assert failed(answer, never) == ("join its cgroup", errno.ENOENT)


@pytest.mark.root
def test_a_directory_its_user_may_not_enter_is_named(start: Start, directory: Path, never: Path) -> None:
    directory.chmod(0o700)
    assert failed(start(["/bin/true"], credentials=NOBODY), never) == ("enter its directory", errno.EACCES)


@pytest.mark.root
def test_logs_its_user_may_not_make_are_named(start: Start, never: Path) -> None:
    assert failed(start(["/bin/true"], credentials=NOBODY), never) == ("open its logs", errno.EACCES)


def test_a_child_whose_parent_dies_executes_nothing(directory: Path, never: Path) -> None:
    asked = {
        "directory": str(directory),
        "argv": ["/bin/touch", "executed"],
        "never": str(never),
        "go": False,
    }
    with subprocess.Popen(STARTER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(json.dumps(asked))
        parent.stdin.close()
        child = json.loads(parent.stdout.readline())["pid"]
        until(lambda: (directory / ".logs/p/0/stderr").exists(), "the child did not come to its gate")
        parent.kill()
    until(lambda: not Path(f"/proc/{child}/exe").exists(), "the child is still there")
    assert never.read_text() == "wait|0|the keeper died before it let it go\n"
    assert not (directory / "executed").exists()


# -- what it gets


@pytest.mark.parametrize("caller", ["clean", "ignoring"])
def test_every_signal_has_its_default_and_none_is_blocked(start: Start, caller: str) -> None:
    ignoring = ["/bin/sh", "-c", "trap '' HUP INT QUIT PIPE TERM USR1 RTMIN RTMAX; exec \"$@\"", "sh"]
    answer = start(SIGNALS, through=ignoring if caller == "ignoring" else None)
    lines = dict(line.split(":\t") for line in answer["out"].splitlines())
    assert lines["SigIgn"] == lines["SigBlk"] == "0" * 16


def test_a_blocked_signal_of_the_caller_is_not_blocked(start: Start) -> None:
    block = (
        "import os, signal, sys; signal.pthread_sigmask(0, signal.valid_signals()); os.execv(sys.argv[1], sys.argv[1:])"
    )
    answer = start(SIGNALS, through=["/usr/bin/python3", "-I", "-c", block])
    assert "SigBlk:\t0000000000000000" in answer["out"]


def test_it_has_three_descriptors_a_session_and_the_usual_umask(start: Start, directory: Path) -> None:
    masked = "import os, sys; os.umask(0o77); os.execv(sys.argv[1], sys.argv[1:])"
    seen = look(start, env={"A": "b"})
    assert seen["fds"] == [0, 1, 2, 3]
    assert seen["umask"] == 0o22
    assert (seen["session"], seen["group"]) == (True, True)
    assert seen["cwd"] == str(directory)
    assert (seen["stdin"], seen["stdout"]) == ("/dev/null", f"{directory}/.logs/p/0/stdout")
    assert seen["env"] == {"A": "b", "LC_CTYPE": "C.UTF-8"}  # the second is the interpreter's own
    assert look(start, through=["/usr/bin/python3", "-I", "-c", masked], logs=".logs/p/1")["umask"] == 0o22


def test_it_can_gain_no_privileges(start: Start) -> None:
    assert look(start)["privileges"] == "1"


@pytest.mark.root
def test_it_is_its_user_in_every_respect(start: Start, directory: Path) -> None:
    os.chown(directory, 65534, 65534)
    seen = look(start, credentials=[65534, 65533, [65533, 4, 20]])
    assert seen["uid"] == ["65534"] * 4
    assert seen["gid"] == ["65533"] * 4
    assert sorted(map(int, seen["groups"])) == [4, 20, 65533]  # type: ignore[arg-type]
    assert (directory / ".logs/p/0/stdout").stat().st_uid == 65534


@pytest.mark.root
def test_set_uid_programs_gain_nothing(start: Start, directory: Path) -> None:
    os.chown(directory, 65534, 65534)
    program = directory / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o4755)
    os.chown(program, 0, 0)
    program.chmod(0o4755)
    assert start([str(program), "-u"], credentials=NOBODY)["out"] == "65534\n"


def test_privileges_are_given_up_before_and_after_it_is_its_user(start: Start, directory: Path) -> None:
    program = "import os, resource; print(os.nice(0), resource.getrlimit(resource.RLIMIT_CORE))"
    steps = [["nice", 7], ["rlimit", resource.RLIMIT_CORE, 0, 0, "core"]]
    answer = start(["/usr/bin/python3", "-I", "-c", program], privileges=steps)
    assert answer["out"] == "7 (0, 0)\n"


def test_a_privilege_that_cannot_be_had_is_named(start: Start, never: Path) -> None:
    answer = start(["/bin/true"], privileges=[["cpus", [1 << 12]]])
    step, number = failed(answer, never)
    assert (step, number) == ("set cpus", errno.EINVAL)


def test_a_filter_that_forbids_to_say_so_does_not_keep_it_from_executing(start: Start) -> None:
    """The parent was told before: of a child that said nothing it would believe that it was killed."""
    load, equal, answer_with = 0x20, 0x15, 0x06
    denied = [
        (equal, 0, 1, 44 if os.uname().machine == "x86_64" else 206),
        (answer_with, 0, 0, 0x00050000 | errno.EPERM),
    ]
    lines = [(load, 0, 0, 0), *denied, (answer_with, 0, 0, 0x7FFF0000)]  # what is loaded is the call's number: sendto
    program = b"".join(struct.pack("HBBI", *line) for line in lines)
    seccomp = ["seccomp", f"hex:{program.hex()}"]
    sends = "import socket; a, b = socket.socketpair(); a.send(b'x')"
    answer = start(["/usr/bin/python3", "-I", "-c", sends], privileges=[seccomp])
    assert answer["status"] == 1
    assert "PermissionError" in answer["err"]
    assert start(["/bin/true"], privileges=[seccomp])["status"] == 0


def test_output_is_appended(start: Start, directory: Path) -> None:
    start(["/bin/echo", "one"])
    assert start(["/bin/echo", "two"])["out"] == "one\ntwo\n"


def test_what_ends_it_is_what_waitpid_says(start: Start) -> None:
    assert start(["/bin/sh", "-c", "exit 7"])["status"] == 7
    assert start(["/bin/sh", "-c", "kill -KILL $$"])["status"] == -signal.SIGKILL


def test_keys_of_the_caller_are_not_in_a_new_session_keyring() -> None:
    """keyctl(2): 248 and 250 are add_key and keyctl on x86_64, 217 and 219 on aarch64; -3 is the session's keyring."""
    program = """
import ctypes, os
from sandbox import syscalls
libc = ctypes.CDLL(None)
add, keyctl = (248, 250) if os.uname().machine == "x86_64" else (217, 219)
syscalls.join_new_session_keyring()
mine = libc.syscall(keyctl, 0, -3, 0)
key = libc.syscall(add, b"user", b"secret", b"x", 1, -3)
def held():
    return libc.syscall(keyctl, 10, -3, b"user", b"secret", 0)
print(held() == key)
syscalls.join_new_session_keyring()
print(held(), libc.syscall(keyctl, 0, -3, 0) != mine)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "-1", "True"]
