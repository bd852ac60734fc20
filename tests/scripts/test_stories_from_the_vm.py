"""tests/telling.py, tests/in_the_vm.py: what is heard of stories that do not end, and of machines that stand still."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import in_the_vm
import pytest
import telling
from deadline import DEADLINE


@pytest.fixture
def alarm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
def test_a_story_that_does_not_end_says_who_was_there_and_the_next_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telling, "DEADLINE", 1)

    def endless() -> telling.Facts:
        signal.pause()
        return {}

    telling.tell_all({"endless": endless, "next": lambda: {"good": True}})
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["story"] == "endless"
    assert "TimeoutError: the story did not end within 1 seconds" in first["facts"]["error"]
    assert sys.executable.rpartition("/")[2] in first["facts"]["error"]
    assert second == {"story": "next", "facts": {"good": True}}


STUBBORN = """
import signal, subprocess, telling
telling.DEADLINE = telling._PATIENCE = 1

def stubborn():
    with subprocess.Popen(["sleep", "99"]):  # at its end it waits for it, whatever comes
        signal.pause()

telling.tell_all({"stubborn": stubborn, "next": lambda: {}})
"""


def test_a_story_that_cannot_be_broken_off_says_where_it_is_and_is_the_last() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN],
        env={**os.environ, "PYTHONPATH": str(Path(telling.__file__).parent)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as told:
        assert told.stdout is not None
        only = json.loads(told.stdout.readline())
        assert told.wait(DEADLINE) == 0
        os.killpg(told.pid, signal.SIGKILL)
        assert told.stdout.read() == b""
    assert only["story"] == "stubborn"
    assert "could not be broken off" in only["facts"]["error"]
    assert "in stubborn" in only["facts"]["error"]
    assert "sleep 99" in only["facts"]["error"]


def machine(tmp_path: Path, script: str) -> Path:
    path = tmp_path / "machine"
    path.write_text(f"#!/bin/bash\n{script}")
    path.chmod(0o755)
    return path


def test_when_a_machine_stands_still_another_one_is_asked_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = '{"story": "a", "facts": {"n": %d}}'
    monkeypatch.setattr(in_the_vm, "SILENCE", 3)
    script = (
        f"cd {tmp_path}; mkdir first 2>/dev/null || {{ echo '{told % 2}'; exit; }}; echo '{told % 1}'; exec sleep 99"
    )
    monkeypatch.setattr(in_the_vm, "VM", machine(tmp_path, script))
    with pytest.warns(UserWarning, match="a machine stood still, stories.py in it: .*a"):
        assert in_the_vm.all_told(Path("stories.py")) == {"a": {"n": 2}}


def test_when_both_stand_still_that_is_no_success(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(in_the_vm, "SILENCE", 0.2)
    monkeypatch.setattr(in_the_vm, "VM", machine(tmp_path, "exec sleep 99"))
    with pytest.warns(UserWarning, match="stood still"), pytest.raises(in_the_vm.StoodStill):
        in_the_vm.all_told(Path("stories.py"))


def test_a_machine_that_goes_down_says_what_it_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(in_the_vm, "VM", machine(tmp_path, "echo went down >&2; exit 125"))
    with pytest.raises(AssertionError, match="went down"):
        in_the_vm.all_told(Path("stories.py"))
