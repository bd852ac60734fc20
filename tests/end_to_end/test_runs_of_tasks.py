"""Whole tasks run by the real program: order, failures, sidecars, finalizers, logs of any size."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import pytest
from deadline import until
from real_program import AWAIT, RAN, Program

from thermos.core import records as r


def says(name: str, *after: str, **fields: Any) -> dict[str, Any]:
    """A process that notes that it ran."""
    return {"name": name, "cmdline": RAN, "after": list(after), "min_duration": 0, **fields}


def states(program: Program) -> dict[str, list[str]]:
    """How each run of each process ended."""
    return {name: [run["state"] for run in runs] for name, runs in program.runs().items()}


def test_two_joins_in_a_row_with_a_port(program: Program) -> None:
    """RN-1: t1 and t2, then t3 and t4, then t5 and t6."""
    layers = [("t1", "t2"), ("t3", "t4"), ("t5", "t6")]
    tell = RAN + "echo {{thermos.ports[named_port]}} $THERMOS_PORT_NAMED_PORT"
    processes = [
        {**says(name, *(layers[depth - 1] if depth else ())), "cmdline": tell}
        for depth, layer in enumerate(layers)
        for name in layer
    ]
    assert program.begin(processes, "--port", "named_port=8123").wait() == 0

    task = program.status()
    assert (task["state"], task["task_id"]) == ("SUCCESS", program.id)
    assert (task["ports"], task["sandbox"]) == ({"named_port": 8123}, str(program.sandbox))
    assert states(program) == {name: ["SUCCESS"] for layer in layers for name in layer}
    assert all(program.log(name) == "8123 8123\n" for layer in layers for name in layer)

    order = [line.split()[0] for line in program.ran()]
    assert [set(order[:2]), set(order[2:4]), set(order[4:])] == [set(layer) for layer in layers]
    launched = {x.process: x.at for x in program.records() if isinstance(x, r.Launched)}
    for number, runs in enumerate(program.runs().values()):
        assert task["created_at"] <= launched[number] <= runs[0]["started_at"] <= runs[0]["ended_at"]
        assert runs[0]["ended_at"] <= task["ended_at"]


def test_a_profile_in_many_pieces_set_up_first(program: Program) -> None:
    """RN-3. The first step writes it, whatever comes later finds it read."""
    setup = """
        mkdir .profile.d
        echo 'for piece in .profile.d/*.sh; do . "$piece"; done' > .thermos_profile
    """
    processes = [
        {"name": "setup", "cmdline": setup},
        {"name": "foo", "cmdline": "echo export FOO=1 > .profile.d/foo.sh", "after": "setup"},
        {"name": "bar", "cmdline": "echo export BAR=2 > .profile.d/bar.sh", "after": "foo"},
        {"name": "see", "cmdline": "echo $FOO $BAR", "after": "bar"},
    ]
    assert program.begin(processes).wait() == 0
    assert program.log("see") == "1 2\n"


def test_a_chain_that_breaks_is_a_failed_task_below_its_limit_too(program: Program) -> None:
    """RN-5 and decision 5."""
    chain = [says("a"), {**says("b", "a"), "cmdline": RAN + "exit 1"}, says("c", "b")]
    assert program.begin(chain, max_failures=2).wait() == 1
    assert program.ran() == ["a 0", "b 0"]
    assert states(program) == {"a": ["SUCCESS"], "b": ["FAILED"], "c": []}
    assert program.status()["reason"] == "nothing can run: c waits for b, which failed for good"


def test_a_task_that_does_not_care_succeeds_though_half_of_it_failed(program: Program) -> None:
    """RN-6."""
    bad = [says(f"f{n}", max_failures=2, cmdline=RAN + "exit 1") for n in (1, 2, 3)]
    good = [says(f"s{n}", max_failures=2) for n in (1, 2, 3)]
    assert program.begin([*bad, *good], max_failures=0).wait() == 0
    expected = {"f": ["FAILED", "FAILED"], "s": ["SUCCESS"]}
    assert states(program) == {f"{kind}{n}": expected[kind] for kind in "fs" for n in (1, 2, 3)}
    assert len(program.ran()) == 9


def test_nobody_waits_for_a_sidecar(program: Program) -> None:
    """RN-7."""
    sidecar = {"name": "sidecar", "cmdline": "touch up; exec sleep 1000", "ephemeral": True}
    main = {"name": "main", "cmdline": AWAIT.format("up")}
    assert program.begin([sidecar, main]).wait() == 0
    assert states(program) == {"sidecar": ["KILLED"], "main": ["SUCCESS"]}
    assert program.exits("sidecar") == [(None, "SIGTERM", "waited")]


@pytest.mark.parametrize(("code", "state"), [(0, "SUCCESS"), (1, "FAILED")])
def test_finalizers_run_in_their_order_after_all_others_however_these_ended(
    program: Program, code: int, state: str
) -> None:
    """RN-8, RN-9 and RN-12. That one of them fails changes nothing."""
    sidecar = "trap 'echo sidecar stopped >> ran; exit' TERM; touch up; while :; do sleep 0.01; done"
    processes = [
        says("last", "first", final=True),
        says("first", final=True),
        says("useless", final=True, cmdline=RAN + "exit 1"),
        says("sidecar", ephemeral=True, cmdline=sidecar),
        says("main", cmdline=AWAIT.format("up") + RAN + f"exit {code}"),
    ]
    assert program.begin(processes).wait() == code
    ran = program.ran()
    assert ran[:2] == ["main 0", "sidecar stopped"]
    assert sorted(ran[2:]) == ["first 0", "last 0", "useless 0"]
    assert ran.index("first 0") < ran.index("last 0")
    ended = {"last": ["SUCCESS"], "first": ["SUCCESS"], "useless": ["FAILED"], "sidecar": ["SUCCESS"], "main": [state]}
    assert states(program) == ended
    runs = {name: runs[0] for name, runs in program.runs().items()}
    assert runs["first"]["ended_at"] <= runs["last"]["started_at"]
    assert max(runs["main"]["ended_at"], runs["sidecar"]["ended_at"]) <= runs["first"]["started_at"]


def test_forty_sidecars_cost_no_finalizer_its_turn(program: Program) -> None:
    """Decision 4. Some of them are still being started when the task ends: none misses its signal."""
    sidecars: list[dict[str, Any]] = [
        {"name": f"s{n}", "cmdline": "exec sleep 1000", "ephemeral": True} for n in range(40)
    ]
    processes = [says("main"), *sidecars, says("last", final=True)]
    assert program.begin(processes, finalization_wait=120).wait() == 0
    assert program.ran() == ["main 0", "last 0"]
    signals = [x.signal for x in program.records() if isinstance(x, r.Signalled)]
    assert signals == [signal.SIGTERM] * len(sidecars)
    runs = program.runs()
    assert all([run["state"] for run in runs[sidecar["name"]]] == ["KILLED"] for sidecar in sidecars)


def test_a_task_of_nothing_but_finalizers_runs_them(program: Program) -> None:
    assert program.begin([says("b", "a", final=True), says("a", final=True)]).wait() == 0
    assert program.ran() == ["a 0", "b 0"]


def test_a_daemon_that_succeeds_runs_again_until_it_fails(program: Program) -> None:
    """PL-8 for real."""
    daemon = says("d", daemon=True, max_failures=1, cmdline=RAN + "[ $THERMOS_RUN != 3 ]")
    assert program.begin([daemon]).wait() == 1
    assert program.ran() == ["d 0", "d 1", "d 2", "d 3"]
    assert states(program) == {"d": ["SUCCESS", "SUCCESS", "SUCCESS", "FAILED"]}


def test_no_more_processes_live_at_once_than_allowed(program: Program) -> None:
    """Each says how many there are while it lives."""
    count = 'touch alive-$THERMOS_PROCESS; ls | grep -c "^alive" >> counts; sleep 0.05; rm alive-$THERMOS_PROCESS'
    assert program.begin([says(f"p{n}", cmdline=count) for n in range(8)], max_concurrency=2).wait() == 0
    counts = (program.sandbox / "counts").read_text().split()
    assert len(counts) == 8
    assert set(counts) <= {"1", "2"}


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_two_hundred_megabytes_of_log_are_all_there(program: Program, stream: str) -> None:
    """RN-13. Nothing is rotated unless that is asked for, and the other log is empty."""
    size = 200_000_000
    descriptor = {"stdout": 1, "stderr": 2}[stream]
    run = program.begin([{"name": "p", "cmdline": f"head -c {size} /dev/zero >&{descriptor}"}])
    assert run.wait() == 0
    logs = program.sandbox / ".logs/p/0"
    sizes = {file.name: file.stat().st_size for file in logs.iterdir()}
    for file in logs.iterdir():
        file.unlink()  # pytest keeps the directories of its last three runs
    assert sizes == {"stdout": 0, "stderr": 0} | {stream: size}


@pytest.mark.root
def test_a_flaky_process_and_a_finalizer_go_through_any_number_of_dead_supervisors(program: Program) -> None:
    """RN-16, for real: whenever something new is in the journal, the supervisor is killed."""
    processes = [
        says("a"),
        says("b", "a", max_failures=3, cmdline=RAN + "exit 1"),
        says("c", final=True),
    ]
    run = program.begin(processes, max_failures=2)
    seen = killed = 0

    def news() -> bool:
        return run.poll() is not None or len(program.records()) > seen

    while until(news) and run.poll() is None:
        seen = len(program.records())
        for pid, command in program.alive().items():
            if "thermos.runtime.supervisor" in command and killed < 30:
                with contextlib.suppress(ProcessLookupError):  # it ended its task at this moment
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
    assert killed >= 5
    assert run.wait() == 0
    assert program.ran() == ["a 0", "b 0", "b 1", "b 2", "c 0"]
    assert states(program) == {"a": ["SUCCESS"], "b": ["FAILED"] * 3, "c": ["SUCCESS"]}
    assert {end[2] for name in "abc" for end in program.exits(name)} == {"waited"}
