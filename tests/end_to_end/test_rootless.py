"""A plain user's tasks: what user namespaces give is given, the rest is refused or shown, and nothing is left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program, gone, process, ran, rows
from test_sandbox_of_a_task import an_image

from thermos.core import records as r

pytestmark = pytest.mark.root  # to become that user


def refused(program: Program, **task: Any) -> str:
    started = program.begin([process(RAN)], **task)
    out, err = started.communicate()
    assert (started.returncode, out) == (69, "")
    assert "Traceback" not in err
    assert not program.directory.exists()
    assert not list(program.root.glob("images/holders/*")) + list(program.root.glob("disks/*"))
    return err


# -- by default


def test_by_default_it_has_namespaces_of_its_own_and_the_hosts_files_to_be_read(nobody: Program) -> None:
    kinds = ("user", "pid", "mnt", "ipc", "uts")
    say = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in kinds)
    say += "; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; id -u; echo $$"
    say += "; touch /etc/x 2>/dev/null || touch /var/tmp/y /tmp/y here && echo private"
    assert ran(nobody, process(say)) == 0
    said = nobody.log("p").split()
    for kind, name in zip(kinds, said, strict=False):
        assert name != os.readlink(f"/proc/self/ns/{kind}")
    uid, pid, last = said[-3:]
    assert said[len(kinds) : -3] == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1", "Seccomp:", "2"]
    assert (uid, last) == ("65534", "private")
    assert int(pid) < 100
    assert (nobody.sandbox / "here").stat().st_uid == 65534
    assert not Path("/tmp/y").exists()
    found = rows(nobody)
    for part in ("user", "pid", "mount", "ipc", "uts", "read-only root", "/tmp"):
        assert found[part]["got"] == "private", part


def test_it_can_do_without_a_user_namespace_and_then_has_none_of_the_others(nobody: Program) -> None:
    task = nobody.begin(
        [process("readlink /proc/self/ns/pid")],
        "--isolation",
        "best-effort",
        sandbox={"namespaces": {"user": False}},
    )
    assert task.wait() == 0
    assert nobody.log("p").strip() == os.readlink("/proc/self/ns/pid")
    why = rows(nobody)["pid"]["why_not"] if "pid" in rows(nobody) else ""
    assert "cannot unshare" in why


# -- what a file asks for


def test_volumes_sizes_names_and_no_network_are_as_the_file_says(nobody: Program) -> None:
    data = nobody.root.parent / "data"
    data.mkdir()
    os.chown(data, 65534, 65534)
    (data / "in").write_text("from the host\n")
    asked = {
        "volumes": [
            {"host_path": str(data), "container_path": "/mnt", "mode": "RW"},
            {"host_path": str(data), "container_path": "/opt", "mode": "RO"},
        ],
        "tmp": "3MiB",
        "hostname": "box",
        "network": "none",
    }
    say = "cat /opt/in; echo out > /mnt/out; echo no > /opt/no || echo refused; hostname"
    say += "; df --output=size /tmp | grep -v 1K; grep -c : /proc/net/dev"
    assert ran(nobody, process(say), sandbox=asked) == 0
    assert nobody.log("p").split() == ["from", "the", "host", "refused", "box", "3072", "1"]
    assert (data / "out").read_text() == "out\n"


def test_a_root_from_a_tarball_is_theirs_and_so_are_the_changes(nobody: Program) -> None:
    image = an_image(nobody.base / "base.tar")
    os.chmod(image, 0o644)
    say = "cat /etc/own; echo changed > /etc/own; mkdir /made; ls /"
    assert ran(nobody, process(say), sandbox={"rootfs": image}) == 0
    listed = nobody.log("p").splitlines()
    assert listed[0] == "mine"
    assert "made" in listed
    assert "home" not in listed
    changed = nobody.directory / "changes/upper/etc/own"
    assert changed.read_text() == "changed\n"
    assert changed.stat().st_uid == 65534
    assert not list(nobody.root.glob("images/holders/*"))


def test_the_disk_is_limited_by_who_counts(nobody: Program) -> None:
    write = "i=0; while :; do i=$((i + 1)); head -c 100000 /dev/zero > file-$i; done"
    assert ran(nobody, process(write, max_failures=0), resources={"disk": "8MiB"}) == 1
    assert "it has used up its disk space of 8 MiB" in nobody.status()["reason"]
    assert rows(nobody)["disk"]["got"] == "8 MiB (walker)"
    assert not list(nobody.root.glob("disks/*"))


def test_limits_are_refused_under_strict(nobody: Program) -> None:
    err = refused(nobody, resources={"ram": "64MiB"})
    assert ": cannot enforce resources.ram (64 MiB): " in err


def test_a_network_of_its_own_is_refused_and_it_says_who_may(nobody: Program) -> None:
    err = refused(nobody, sandbox={"network": "private"})
    assert ": cannot enforce sandbox.network: " in err
    assert "CAP_NET_ADMIN" in err or "root" in err


def test_a_network_that_best_effort_cannot_have_is_shown_and_nobody_takes_it_down(nobody: Program) -> None:
    task = nobody.begin([process("true")], "--isolation", "best-effort", sandbox={"network": "private"})
    _, err = task.communicate()
    assert task.returncode == 0
    assert err.splitlines() == [f"{nobody.id}: {nobody.directory}", f"{nobody.id}: SUCCESS: {DONE}"]
    assert rows(nobody)["network"]["got"] is None
    assert "only root may" in rows(nobody)["network"]["why_not"]


DONE = "every process has finished"


def test_an_image_that_is_refused_for_another_reason_is_held_by_nobody(nobody: Program) -> None:
    image = an_image(nobody.base / "base.tar")
    os.chmod(image, 0o644)
    err = refused(nobody, sandbox={"rootfs": image}, resources={"ram": "64MiB"})
    assert "resources.ram" in err


# -- deaths


@pytest.mark.parametrize("victims", [("keeper",), ("supervisor",), ("keeper", "supervisor")], ids="+".join)
def test_whoever_dies_is_replaced_and_what_runs_stays_in_its_namespaces(
    nobody: Program, victims: tuple[str, ...]
) -> None:
    first = process("readlink /proc/self/ns/pid /proc/self/ns/mnt; " + AWAIT.format("go"), "first")
    second = process("readlink /proc/self/ns/pid /proc/self/ns/mnt", "second", after=["first"])
    task = nobody.begin([first, second])
    until(lambda: nobody.directory.exists() and nobody.started())
    until(lambda: len(nobody.log("first").split()) == 2)
    supervisor = nobody.in_charge()
    nobody.kill(*[{"keeper": nobody.keeper, "supervisor": nobody.supervisor}[name]() for name in victims])
    if "keeper" in victims:
        task.wait()
    if len(victims) == 2:
        task = nobody.start("resume", nobody.id)
    if "supervisor" in victims:
        until(lambda: nobody.records() and _last_in_charge(nobody) != supervisor)
    nobody.touch("go")
    until(lambda: nobody.status()["state"] == "SUCCESS")
    assert nobody.log("first") == nobody.log("second")
    assert len([x for x in nobody.records() if isinstance(x, r.Sandboxed) and x.init is not None]) >= 1
    assert {row["got"] for row in rows(nobody).values() if row["what"] in ("pid", "mount", "user")} == {"private"}
    if "keeper" not in victims:
        assert task.wait() == 0


def _last_in_charge(program: Program) -> int:
    return [x.pid for x in program.records() if isinstance(x, r.Supervised)][-1]


def test_a_kill_leaves_no_process_however_deep_it_hides(nobody: Program) -> None:
    hides = "setsid sh -c 'trap \"\" TERM; echo $$ > deep; while :; do sleep 1; done' & wait"
    task = nobody.begin([process(hides)], finalization_wait=1)
    until(lambda: (nobody.sandbox / "deep").exists())
    pids = list(nobody.alive())
    assert nobody.done("kill", nobody.id).returncode == 0
    assert task.wait() == 143
    until(lambda: all(map(gone, pids)), "something lives on")


def test_the_setting_is_for_its_user_alone_and_holds_no_more_than_values(nobody: Program) -> None:
    assert ran(nobody, process("true")) == 0
    assert (nobody.directory / "setting").stat().st_mode & 0o777 == 0o600
    assert json.loads((nobody.directory / "task.json").read_text())["isolation_mode"] == "strict"
