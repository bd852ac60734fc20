"""A sandbox of a plain user: by a user namespace, it has all that root's has."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from roots import make_root
from starting import STARTER, Start

from sandbox.cgroups import tree
from sandbox.spec import Limits

pytestmark = pytest.mark.root  # it takes root to become somebody else

UID = 12345
ALL = ["user", "pid", "mount", "ipc", "uts", "cgroup", "net", "time"]
SAME = {"uids": [[UID, UID, 1]], "gids": [[UID, UID, 1]]}
AS_ROOT = {"uids": [[0, UID, 1]], "gids": [[0, UID, 1]]}
RANGE = {"uids": [[0, 100000, 65536]], "gids": [[0, 100000, 65536]]}


@pytest.fixture
def mine(directory: Path) -> Path:
    os.chown(directory, UID, UID)
    os.chown(directory.parent, UID, UID)
    return directory


def run(start: Start, script: str, **asked: Any) -> list[str]:
    answer = start(["/bin/sh", "-c", script], **{"namespaces": ALL, "caller": UID, **asked})
    assert (answer.get("status"), answer["err"], answer["left"]) == (0, "", []), answer
    lines: list[str] = answer["out"].splitlines()
    return lines


def test_every_part_is_there(start: Start, mine: Path) -> None:
    script = f"""
        id -u; id -g; uname -n; cat /proc/1/comm; ls /dev | wc -l; ls -A /tmp /dev/shm
        tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '
        for d in /tmp /var/tmp /dev/shm {mine}; do touch $d/x || echo "not written: $d"; done
        for d in /etc / /var/lib /proc/sys/kernel /sys/fs/cgroup; do touch $d/x 2>/dev/null && echo "written: $d"; done
        wc -c < /proc/keys; echo x > /dev/null; head -c 2 /dev/zero | wc -c; grep -c . /proc/self/cgroup > /dev/null
        python3 -c 'import os; print(os.ttyname(os.openpty()[1]))'
    """
    view = {"sandbox": str(mine), "read_only": True, "dev": True, "masks": True, "users": SAME, "clocks": [1, 1]}
    out = run(start, script, hostname="inside", spec=view)
    below = [mine.parts[2]] if mine.parts[1] == "tmp" else []
    assert out[:8] == [str(UID), str(UID), "inside", "sandbox-pause", "14", "/dev/shm:", "", "/tmp:"]
    assert out[8:] == [*below, "lo", "0", "2", "/dev/pts/0"]


def test_what_it_executes_has_no_privilege_not_even_inside(start: Start, mine: Path) -> None:
    script = "grep -E 'Cap(Prm|Eff|Amb)|NoNew' /proc/self/status; mount -t tmpfs none /mnt 2>/dev/null || echo refused"
    out = run(start, script, spec={"sandbox": str(mine), "users": SAME})
    assert [line.split()[-1] for line in out] == ["0" * 16] * 3 + ["1", "refused"]


def test_as_root_inside_it_is_itself_outside(start: Start, mine: Path) -> None:
    script = "id -u; touch file; stat -c %u file; cat /etc/shadow 2>/dev/null || echo refused"
    script += "; mount -t tmpfs none /tmp && echo mounted"
    spec = {"sandbox": str(mine), "users": AS_ROOT}
    assert run(start, script, spec=spec) == ["0", "0", "refused", "mounted"]
    assert (mine / "file").stat().st_uid == UID


def test_a_root_of_its_own(start: Start, mine: Path, tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    for name in ("upper", "work"):
        (tmp_path / "changes" / name).mkdir(parents=True)
        os.chown(tmp_path / "changes" / name, UID, UID)
    for path in (root, root / "bin"):
        os.chown(path, UID, UID)
    for more in ({}, {"upper": f"{tmp_path}/changes/upper", "work": f"{tmp_path}/changes/work"}):
        spec = {"sandbox": str(mine), "users": AS_ROOT, "root": {"lower": [str(root)], **more}, "dev": True}
        logs = f".logs/{len(more)}"
        assert run(start, "touch /bin/new; ls /bin/new; cat < /dev/null", spec=spec, logs=logs) == ["/bin/new"]
    assert (tmp_path / "changes/upper/bin/new").exists()
    assert not (root / "bin/new").exists()


def test_without_a_user_namespace_each_part_is_refused_by_name(start: Start, mine: Path) -> None:
    asked: dict[str, Any] = {"caller": UID, "spec": {"sandbox": str(mine)}}
    for name in ("mount", "ipc", "uts", "cgroup", "net"):
        answer = start(["/bin/true"], namespaces=[name], **asked)
        assert (answer["step"], answer["errno"], answer["left"]) == (f"make {name}", errno.EPERM, [])


def test_ids_of_others_are_refused(start: Start, mine: Path) -> None:
    """Without /etc/subuid and newuidmap nobody gives them away."""
    asked: dict[str, Any] = {"namespaces": ALL, "caller": UID}
    for users in ({"uids": [[0, 0, 1]], "gids": [[0, UID, 1]]}, RANGE):
        answer = start(["/bin/true"], spec={"sandbox": str(mine), "users": users}, **asked)
        assert (answer["step"], answer["errno"], answer["left"]) == ("make user", errno.EPERM, [])


def test_where_no_user_namespace_can_be_made_that_is_said(start: Start, directory: Path) -> None:
    limit = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    through = ["unshare", "--user", "--map-root-user", "/bin/sh", "-c", limit, "sh"]
    users = {"uids": [[0, 0, 1]], "gids": [[0, 0, 1]]}
    answer = start(["/bin/true"], through=through, namespaces=ALL, spec={"sandbox": str(directory), "users": users})
    assert (answer["step"], answer["errno"], answer["left"]) == ("make user", errno.ENOSPC, [])


def test_where_the_hosts_proc_is_covered_in_part_there_is_no_new_one(start: Start, mine: Path) -> None:
    """As in most containers: the kernel does not let who has no power over the cover see what is below it."""
    through = ["unshare", "--mount", "/bin/sh", "-c", 'mount -t tmpfs none /proc/fs; exec "$@"', "sh"]
    asked: dict[str, Any] = {"through": through, "spec": {"sandbox": str(mine), "users": SAME, "masks": True}}
    answer = start(["/bin/true"], namespaces=ALL, caller=UID, **asked)
    assert (answer["step"], answer["errno"], answer["left"]) == ("make /proc", errno.EPERM, [])
    assert run(start, "id -u", left_out=["/proc"], **asked) == [str(UID)]


# -- the one that goes between


def test_the_process_is_a_child_of_who_started_it(start: Start, mine: Path) -> None:
    script = "echo up > up; while [ ! -e go ]; do :; done; exit 7"
    asked = {
        "directory": str(mine),
        "never": str(mine.parent / "never"),
        "namespaces": ALL,
        "caller": UID,
        "argv": ["/bin/sh", "-c", script],
        "spec": {"sandbox": str(mine), "users": SAME},
    }
    with subprocess.Popen(STARTER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdin
        assert starter.stdout
        starter.stdin.write(json.dumps(asked))
        starter.stdin.close()
        until(lambda: (mine / "up").exists(), "it did not start")
        children = Path(f"/proc/{starter.pid}/task/{starter.pid}/children").read_text().split()
        names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in children}
        assert sorted(names.values()) == ["sandbox-pause", "sh"]
        (mine / "go").touch()
        answer = json.loads(starter.stdout.readline())
    assert names[str(answer["pid"])] == "sh"
    assert names[str(answer["init"])] == "sandbox-pause"
    assert (answer["status"], answer["left"]) == (7, [])


def test_a_process_whose_parent_dies_executes_nothing(mine: Path) -> None:
    never = mine.parent / "never"
    asked = {
        "directory": str(mine),
        "never": str(never),
        "namespaces": ALL,
        "caller": UID,
        "argv": ["/bin/touch", "executed"],
        "spec": {"sandbox": str(mine), "users": SAME},
        "go": False,
    }
    with subprocess.Popen(STARTER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdin
        assert starter.stdout
        starter.stdin.write(json.dumps(asked))
        starter.stdin.close()
        answer = json.loads(starter.stdout.readline())
        until(lambda: (mine / ".logs/p/0/stderr").exists(), "the child did not come to its gate")
        starter.kill()
    until(lambda: not Path(f"/proc/{answer['pid']}/exe").exists(), "the child is still there")
    os.kill(answer["init"], 9)
    assert never.read_text() == "wait|0|the keeper died before it let it go\n"
    assert not (mine / "executed").exists()


@pytest.mark.parametrize("users", [SAME, RANGE, None], ids=["alone", "root", "none"])
def test_to_fork_into_a_sandbox_that_has_ended_is_what_the_kernel_calls_a_lack_of_memory(
    start: Start, mine: Path, users: dict[str, Any] | None
) -> None:
    asked: dict[str, Any] = {"caller": UID} if users is SAME else {"credentials": [0, 0, []]}
    namespaces = [name for name in ALL if users or name != "user"]
    answer = start(
        ["/bin/true"], namespaces=namespaces, spec={"sandbox": str(mine), "users": users}, dead=True, **asked
    )
    assert (answer["step"], answer["errno"], answer["left"]) == ("fork", errno.ENOMEM, [])


def test_who_goes_between_counts_in_no_group(start: Start, directory: Path, group: dict[str, str]) -> None:
    """One process is all that the group may have, and the one that is started is it."""
    tree.limit(group, Limits(pids=1))
    tree.make_leaf(group, "p.0")
    spec = {"sandbox": str(directory), "sandbox_id_mapped": True, "users": RANGE}
    asked: dict[str, Any] = {"namespaces": ALL, "credentials": [0, 0, []], "cgroups": tree.joins(group, "p.0")}
    lines = start(["/bin/cat", "/proc/self/cgroup"], spec=spec, **asked)["out"].splitlines()
    assert {line.split(":", 2)[2] for line in lines} == {"/"}


def test_a_program_that_is_missing_is_named(start: Start, mine: Path) -> None:
    spec = {"sandbox": str(mine), "users": SAME}
    answer = start(["/no/such/program"], namespaces=ALL, caller=UID, spec=spec)
    assert (answer["status"], answer["step"], answer["errno"]) == (127, "execute /no/such/program", errno.ENOENT)
    assert (mine.parent / "never").read_text() == f"{answer['step']}|{errno.ENOENT}|{answer['text']}\n"
