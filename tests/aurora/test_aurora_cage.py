"""What a file may not do, each beside a control that shows the same file doing it where there is no cage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from deadline import until
from running import ROOT, dialect_of, document, task_of, uncaged

from thermos.formats import TaskFileError
from thermos.formats.aurora import cage, load
from thermos.formats.aurora.choice import Choice

END = "\nexport(SimpleTask('a', 'b'))\n"
SYSCALL = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
CHECK = "\nif answer < 0:\n    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))"

#: Some hosts forbid it to everybody.
OR_NOT_HERE = "if answer < 0 and ctypes.get_errno() in (1, 38) and os.path.exists(PLACE + '/uncaged'):\n    answer = 0"

#: What each does to its own directory, host or neighbours; `PLACE` is a directory that anybody may write to.
FORBIDDEN = {
    "opens_a_network_socket": "import socket\nsocket.create_server(('127.0.0.1', 0))",
    "opens_a_unix_socket": "import socket\nsocket.socket(socket.AF_UNIX)",
    "opens_a_netlink_socket": "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "makes_a_pair_of_sockets": "import socket\nsocket.socketpair()",
    "writes_a_new_file": "open(PLACE + '/new', 'w').write('x')",
    "writes_over_a_file": "open(PLACE + '/old', 'r+').write('x')",
    "appends_to_a_file": "open(PLACE + '/old', 'a').write('x')",
    "empties_a_file_it_opens_to_read": "import os\nos.open(PLACE + '/old', os.O_RDONLY | os.O_TRUNC)",
    "truncates_a_file": "import os\nos.truncate(PLACE + '/old', 0)",
    "removes_a_file": "import os\nos.unlink(PLACE + '/old')",
    "renames_a_file": "import os\nos.rename(PLACE + '/old', PLACE + '/older')",
    "links_a_file": "import os\nos.link(PLACE + '/old', PLACE + '/link')",
    "makes_a_symbolic_link": "import os\nos.symlink('old', PLACE + '/link')",
    "makes_a_directory": "import os\nos.mkdir(PLACE + '/d')",
    "removes_a_directory": "import os\nos.rmdir(PLACE + '/empty')",
    "makes_a_pipe_with_a_name": "import os\nos.mkfifo(PLACE + '/fifo')",
    "changes_permissions": "import os\nos.chmod(PLACE + '/old', 0o777)",
    "changes_permissions_by_the_newest_call": SYSCALL
    + "answer = libc.syscall(452, -100, (PLACE + '/old').encode(), 0o777, 0)"
    + CHECK,
    "changes_times": "import os\nos.utime(PLACE + '/old')",
    "opens_to_write_by_openat2": SYSCALL
    + "import struct\nanswer = libc.syscall(437, -100, (PLACE + '/new').encode(),"
    + " struct.pack('QQQ', os.O_CREAT | os.O_WRONLY, 0o644, 0), 24)"
    + CHECK,
    "keeps_memory_in_a_file": "import os\nos.memfd_create('x')",
    "shares_memory": SYSCALL + "answer = libc.shmget(0, 4096, 0o1600)\nlibc.shmctl(answer, 0, 0)" + CHECK,
    "forks": "import os\npid = os.fork()\nif not pid:\n    os._exit(0)\nos.waitpid(pid, 0)",
    "starts_a_program": "import subprocess\nsubprocess.check_call(['true'])",
    "becomes_a_program": "import os, sys\nif not PLACE.endswith('!'):\n    os.execv('/bin/true', ['true'])",
    "starts_a_thread": "import threading\nt = threading.Thread(target=list)\nt.start()\nt.join()",
    "signals_its_parent": "import os\nos.kill(os.getppid(), 0)",
    "signals_by_pidfd": "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)",
    "has_the_kernel_signal_its_parent": "import fcntl, os\n"
    "r, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, os.getppid())",
    "traces": SYSCALL + "answer = libc.ptrace(0, 0, 0, 0)" + CHECK,
    "reads_the_memory_of_another": SYSCALL
    + "number = 310 if os.uname().machine == 'x86_64' else 270\n"
    + "answer = libc.syscall(number, os.getpid(), *map(ctypes.c_long, (0, 0, 0, 0, 0)))"
    + CHECK,
    "changes_limits_of_others": "import resource, os\n"
    "resource.prlimit(os.getppid(), resource.RLIMIT_CORE, resource.getrlimit(resource.RLIMIT_CORE))",
    "changes_priority_of_others": "import os\nos.setpriority(os.PRIO_PROCESS, os.getppid(), 0)",
    "takes_back_what_it_gave_up": SYSCALL + "answer = libc.prctl(1, 0, 0, 0, 0)" + CHECK,
    "locks_a_file": "import fcntl\nfcntl.flock(open(PLACE + '/old'), fcntl.LOCK_EX)",
    "sets_up_io_uring": SYSCALL
    + "answer = libc.syscall(425, 4, ctypes.create_string_buffer(120))\n"
    + OR_NOT_HERE
    + CHECK,
    "leaves_namespaces": SYSCALL + "answer = libc.unshare(0x10000000)\n" + OR_NOT_HERE + CHECK,
}


@pytest.fixture
def place(tmp_path: Path) -> str:
    (tmp_path / "old").write_text("old")
    (tmp_path / "empty").mkdir()
    (tmp_path / "old").chmod(0o666)
    tmp_path.chmod(0o777)
    for above in list(tmp_path.parents)[:-2]:  # pytest keeps others out of its directories
        if above.stat().st_uid == os.geteuid():
            above.chmod(above.stat().st_mode | 0o011)
    return str(tmp_path)


def refusal(text: str, **more: str) -> str:
    with pytest.raises(TaskFileError) as caught:
        document(text, **more)
    return str(caught.value)


def text_of(name: str, place: str) -> str:
    return f"PLACE = {place!r}\n" + FORBIDDEN[name] + END


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_file_may_not(name: str, place: str, tmp_path: Path) -> None:
    message = refusal(text_of(name, place))
    assert "cannot run the task file: " in message
    known = ("PermissionError: [Errno 1]", "OSError: [Errno 38]", "can't start new thread")
    assert any(words in message for words in known), message
    assert message.startswith("task:")
    assert sorted(os.listdir(place)) == ["empty", "old"]
    assert Path(place, "old").read_text() == "old"


@pytest.mark.parametrize("name", FORBIDDEN)
def test_without_the_cage_it_could(name: str, place: str, tmp_path: Path) -> None:
    Path(place, "uncaged").touch()
    file = tmp_path / "t.thermos"
    file.write_text(text_of(name, place))
    done = uncaged(file)
    assert done.returncode == 0, done.stderr


OUTSIDER = """
import sys
sys.path[:0] = {roots!r}
from thermos.formats import TaskFileError
from thermos.formats.aurora import load
from thermos.formats.aurora.choice import Choice
try:
    load("task", sys.stdin.read(), "thermos", {{}}, Choice())
except TaskFileError as error:
    print(error)
"""


def as_somebody_else(text: str) -> str:
    """What a plain user is told: an interpreter that everybody may start is needed for that."""
    roots = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    command = ["/usr/bin/python3", "-I", "-c", OUTSIDER.format(roots=roots)]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, user=1, group=1, extra_groups=[], cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def others_can_read() -> bool:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import thermos.formats.aurora; "
        "assert sys.version_info >= (3, 11)"
    )
    command = ["/usr/bin/python3", "-I", "-c", code]
    try:
        return not subprocess.run(command, user=1, group=1, extra_groups=[], capture_output=True, cwd="/").returncode
    except OSError:
        return False


@pytest.mark.root
@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_plain_users_file_may_not_either(name: str, place: str) -> None:
    if not others_can_read():
        pytest.skip("no Python 3.11 in /usr/bin, or this directory is closed to other users")
    for path in (place, f"{place}/old", f"{place}/empty"):  # so that only the cage is in the way
        os.chown(path, 1, 1)
    message = as_somebody_else(text_of(name, place))
    assert "cannot run the task file: " in message
    assert sorted(os.listdir(place)) == ["empty", "old"]


@pytest.mark.root
def test_a_file_that_root_runs_reads_what_everybody_may_read_and_no_more(place: str) -> None:
    Path(place, "public").write_text("for all")
    Path(place, "secret").write_text("for root")
    Path(place, "secret").chmod(0o600)
    text = "x = open({!r}).read()\nexport(SimpleTask('a', x))"
    assert task_of(document(text.format(f"{place}/public")))["processes"][0]["cmdline"] == "for all"
    assert "PermissionError: [Errno 13]" in refusal(text.format(f"{place}/secret"))
    file = Path(place, "t.thermos")
    file.write_text(text.format(f"{place}/secret"))
    assert uncaged(file).returncode == 0


@pytest.mark.root
def test_a_file_that_root_runs_is_nobody() -> None:
    text = "import os\nexport(SimpleTask('a', repr((os.getresuid(), os.getresgid(), os.getgroups()))))"
    said = task_of(document(text))["processes"][0]["cmdline"]
    assert said == "((65534, 65534, 65534), (65534, 65534, 65534), [])"


def test_a_file_has_no_descriptors_but_the_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = os.open("/", os.O_RDONLY)
    os.set_inheritable(kept, True)
    text = (
        "import os\n"
        "def is_open(fd):\n"
        "    try:\n"
        "        os.fstat(fd)\n"
        "    except OSError:\n"
        "        return False\n"
        "    return True\n"
        "export(SimpleTask('a', '%d' % len([fd for fd in xrange(1000) if is_open(fd)])))"
    )
    try:
        assert task_of(document(text))["processes"][0]["cmdline"] == "4"
    finally:
        os.close(kept)


def test_a_files_environment_is_small_and_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    text = "import os\nexport(SimpleTask('a', ' '.join(sorted(os.environ))))"
    assert task_of(document(text))["processes"][0]["cmdline"] == "HOME LANG LOGNAME PATH USER"


def test_a_files_limits_are_small() -> None:
    text = (
        "import resource\n"
        "said = [resource.getrlimit(getattr(resource, 'RLIMIT_' + name)) for name in\n"
        "        ('AS', 'CORE', 'CPU', 'FSIZE', 'NOFILE', 'NPROC')]\n"
        "export(SimpleTask('a', repr(said)))"
    )
    said = task_of(document(text))["processes"][0]["cmdline"]
    assert said == f"[({1 << 30}, {1 << 30}), (0, 0), (30, 31), (0, 0), (64, 64), (0, 0)]"


SPIN = "while True: pass"
WORK = "import time\nbegan = time.process_time()\nwhile time.process_time() < began + 1.2: pass" + END


def test_a_file_that_computes_for_ever_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert document(WORK).value["name"] == "a"
    monkeypatch.setattr(cage, "PROCESSOR_SECONDS", 1)
    assert refusal(WORK) == "task: cannot run the task file: it used more than 1 seconds of processor time"
    stubborn = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n" + SPIN
    assert refusal(stubborn) == "task: cannot run the task file: the process that ran it was killed by SIGKILL"


def test_a_file_that_waits_for_ever_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import time\ntime.sleep(0.7)" + END
    assert document(text).value["name"] == "a"
    monkeypatch.setattr(cage, "SECONDS", 0.5)
    assert refusal(text) == "task: cannot run the task file: it ran longer than 0.5 seconds"


def test_a_file_that_eats_memory_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\nx = bytearray(400 << 20)" + END
    assert document(text).value["name"] == "a"
    monkeypatch.setattr(cage, "MEMORY", 300 << 20)
    assert refusal(text) == "task:2:5: cannot run the task file: it needs more memory than it may have"


def test_a_file_that_prints_for_ever_is_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    text = "import sys\nwhile True: sys.stderr.write('x' * 65536)"
    assert refusal(text) == "task: cannot run the task file: it prints more than 16 MiB"
    shown = capsys.readouterr().err
    assert len(shown) < 70_000
    assert "bytes more)" in shown


def test_what_a_file_prints_is_passed_on_harmless_and_only_its_beginning(capfd: pytest.CaptureFixture[str]) -> None:
    document("import sys\nprint('to the \\x1b[31mscreen\\x07')\nsys.stderr.write('é\\n')\nprint('y' * 100000)" + END)
    out, err = capfd.readouterr()
    assert out == ""
    assert r"to the \x1b[31mscreen\x07" in err
    assert "\x1b" not in err
    assert "é" in err
    assert err.endswith("bytes more)\n")
    assert 65536 < len(err) < 66000


CHANNEL = (
    "import os\n"
    "def is_open(fd):\n"
    "    try:\n"
    "        os.fstat(fd)\n"
    "    except OSError:\n"
    "        return False\n"
    "    return True\n"
    "channel = max(fd for fd in xrange(1000) if is_open(fd))\n"
    "def say(text):\n"
    "    os.write(channel, len(text).to_bytes(4, 'little') + text.encode())\n"
)
NO_SENSE = "task: cannot run the task file: the process that ran it answered something else than a task"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("say('not json')", NO_SENSE),
        ("say('[]')", NO_SENSE),
        ("say('null')", NO_SENSE),
        ("say('{}')", NO_SENSE),
        ("say('[' * 100000)", NO_SENSE),
        ("say('{\"task\":' * 200 + '1' + '}' * 200)", NO_SENSE),
        ('say(\'{"task": [], "aside": {}, "spots": []}\')', NO_SENSE),
        ("say('{\"problems\": []}')", NO_SENSE),
        ('say(\'{"problems": [["f", 1, 1, "", "all is well"]]}\')', NO_SENSE),
        ("say('{\"x\": %s}' % ('1' * 5000))", NO_SENSE),
        ("os.write(channel, b'\\xff' * 100)", NO_SENSE),
        ("os.write(channel, b'\\x00\\x00\\x00\\x02rubbish')", NO_SENSE),
        ("os.write(channel, b'\\x00\\x00\\x0f\\x00rubbish')" + END, NO_SENSE),
        (
            'say(\'{"problems": [["f", 1, 1, "", "cannot \\\\u001b[31m\\\\n"]]}\')',
            r"f:1:1: cannot \x1b[31m\n",
        ),
        ("os.close(channel)\nimport time\ntime.sleep(50)", "task: cannot run the task file: it closed the channel"),
        ('while True: say(\'{"include": "/etc/hostname"}\')', NO_SENSE),
        ("os._exit(0)", "task: cannot run the task file: it ended the process that ran it (exit status 0)"),
        ("os._exit(7)", "task: cannot run the task file: it ended the process that ran it (exit status 7)"),
        ("os.close(channel)" + END, "task: cannot run the task file: it ended the process that ran it (exit status 1)"),
        ("import ctypes\nctypes.string_at(0)", "task: cannot run the task file: the process that ran it was killed by"),
        ("os.write(channel, b'\\x08')\n" + SPIN.replace("pass", "os.getpid()"), "task: cannot run the task file: it "),
    ],
)
def test_an_answer_that_is_none_is_refused(said: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cage, "PROCESSOR_SECONDS", 1)
    assert refusal(CHANNEL + said).startswith(message)


@pytest.mark.parametrize(
    ("definition", "raised", "why"),
    [
        ("    def __str__(self): raise SystemExit(3)", "E()", "E"),
        ("    def __str__(self): raise KeyboardInterrupt", "E()", "E"),
        ("    def __str__(self): return 7", "E()", "E"),
        ("    def __repr__(self): raise SystemExit(3)", "SystemExit(E())", "it calls sys.exit(a E)"),
        ("    __class__ = property(lambda self: 1 // 0)", "E()", "an exception that raises another one"),
        ("    __traceback__ = property(lambda self: 1 // 0)", "E()", "E"),
    ],
)
def test_an_exception_that_cannot_be_asked_is_blamed_all_the_same(
    definition: str, raised: str, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    message = refusal(f"class E(Exception):\n{definition}\nraise {raised}")
    assert message.startswith(f"task:3:1: cannot run the task file: {why}")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("last", ["sys.stdout = None", "sys.stdout = E()"])
def test_what_a_file_makes_of_its_output_is_no_concern_of_its_task(
    last: str, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "import sys\nclass E:\n    def flush(self): raise SystemExit(3)\n    def write(self, text): pass\n"
    assert task_of(document(text + last + END))["name"] == "a"
    assert "thermos/formats" not in capfd.readouterr().err


def test_an_answer_of_the_files_own_making_is_only_data() -> None:
    """As good as a YAML file that says the same: thermos.config has the last word."""
    task, aside = '{"processes": [{"name": "../x"}], "sudo": 1}', '{"a": "\\\\ud800"}'
    forged = f'{{"task": {task}, "aside": {aside}, "spots": [[["x"], -1, 2], 7]}}'
    found = document(CHANNEL + f"say('{forged}')\n" + SPIN)
    assert found.aside == {"a": "?"}
    with pytest.raises(TaskFileError, match="unknown field 'sudo'"):
        task_of(found)


def test_a_definition_that_is_too_large_is_refused() -> None:
    text = "export(Task(processes=[Process(name='a', cmdline='x' * (1 << 20)) for _ in range(17)]))"
    assert refusal(text) == "task: cannot run the task file: what it defines is larger than 16 MiB"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="another machine has no second way in")
def test_the_old_way_into_the_kernel_is_closed() -> None:
    """int 0x80 has numbers of its own: 20 is getpid there, and writev in ours."""
    text = (
        "import ctypes\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.mmap.restype = ctypes.c_void_p\n"
        "code = libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0))\n"
        "ctypes.memmove(code, bytes.fromhex('b814000000cd80c3'), 8)\n"
        "ctypes.CFUNCTYPE(ctypes.c_int)(code)()\n" + END
    )
    message = refusal(text)
    assert message.endswith(
        ("it made a forbidden system call", "killed by SIGSEGV")
    )  # the latter without IA32 emulation


def test_nothing_of_a_stopped_file_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cage, "SECONDS", 0.5)
    name = f"left-over-{os.getpid()}"
    refusal(f"import time\ntime.sleep(600)  # {name}")
    until(lambda: not _children(), "children of ours")


def _children() -> list[str]:
    return [pid for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split() if _is_python(pid)]


def _is_python(pid: str) -> bool:
    try:
        return b"thermos.formats.aurora.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_file_dies_with_the_process_that_had_it_run(tmp_path: Path) -> None:
    code = (
        "from thermos.formats.aurora import load\n"
        "from thermos.formats.aurora.choice import Choice\n"
        "load('t', 'import time\\ntime.sleep(600)', 'thermos', {}, Choice())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (pid,) = until(lambda: [pid for pid in children.read_text().split() if _is_python(pid)], "no child came")
        # No sooner than it is confined: until then it looks for its parent by itself.
        until(lambda: "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text(), "it was never confined")
        process.kill()
    until(lambda: not _is_python(pid), "the child outlived its parent")


def included(tmp_path: Path, text: str, **files: str) -> str:
    for name, content in files.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    top = tmp_path / "top.thermos"
    top.write_text(text)
    return str(top)


def outcome(top: str) -> str:
    path = Path(top)
    try:
        return str(load(top, path.read_text(), dialect_of(path), {}, Choice()).value)
    except TaskFileError as error:
        return str(error).replace(str(path.parent), "D")


def test_files_include_one_another_relative_to_themselves(tmp_path: Path) -> None:
    text = "include('d/one')\nexport(SimpleTask(NAME, 'x'))"
    top = included(
        tmp_path, text, d__one="include('two')\ninclude('../three')", d__two="NAME = 'a'", three="NAME += 'b'"
    )
    assert "'name': 'ab'" in outcome(top)


def test_includes_that_never_end_are_refused(tmp_path: Path) -> None:
    top = included(tmp_path, "include('d/one')", d__one="x = 1\ninclude('../top.thermos')")
    assert outcome(top) == (
        "D/d/one:2:1: cannot run the task file: files include one another in a circle: "
        "D/top.thermos -> D/d/one -> D/top.thermos".replace("D/", f"{tmp_path}/").replace(str(tmp_path), "D")
    )
    for number in range(60):
        (tmp_path / f"n{number}").write_text(f"include('n{number + 1}')")
    assert "files include one another more than 50 deep" in outcome(included(tmp_path, "include('n0')"))


@pytest.mark.root
def test_root_includes_what_only_root_may_read_below_the_files_directory_and_nowhere_else(tmp_path: Path) -> None:
    directory = tmp_path / "closed"
    directory.mkdir(mode=0o700)
    secret = tmp_path / "secret"
    secret.write_text("NAME = 'secret'")
    secret.chmod(0o600)
    end = "\nexport(SimpleTask(NAME, 'x'))"
    assert "'name': 'near'" in outcome(included(directory, "include('d/near')" + end, d__near="NAME = 'near'"))
    refused = "may not be read by everybody, and is not below the directory of the task file"
    assert refused in outcome(included(directory, "include('../secret')" + end))
    assert refused in outcome(included(directory, f"include({str(secret)!r})" + end))
    (directory / "link").symlink_to("../secret")
    assert refused in outcome(included(directory, "include('link')" + end))
    assert refused in outcome(included(directory, "include('/etc/shadow')" + end))
    control = tmp_path / "control.thermos"
    control.write_text("include('secret')" + end)
    assert uncaged(control).returncode == 0


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("nowhere", "no such file or directory"),
        ("directory", "it is no regular file"),
        ("fifo", "it is no regular file"),
        ("large", "larger than 16 MiB"),
        ("bytes", "not UTF-8 text"),
        ("zero\\0byte", "embedded null byte"),
    ],
)
def test_what_cannot_be_included_is_named_with_the_reason(path: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with (tmp_path / "large").open("w") as large:
        large.truncate((16 << 20) + 1)
    (tmp_path / "bytes").write_bytes(b"\xff")
    message = outcome(included(tmp_path, f"x = 1\ninclude('{path}')"))
    assert message.startswith("D/top.thermos:2:1: cannot run the task file: ")
    assert message.endswith(why)


def test_a_machine_without_a_table_of_calls_runs_no_file() -> None:
    """The child says so instead of running the file, and what it says becomes the error."""
    from thermos.formats.aurora.answer import checked

    with pytest.raises(TaskFileError, match="it is a program, and this host cannot confine it: no table"):
        checked("task", {"unconfined": "no table"})
