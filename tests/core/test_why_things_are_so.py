"""Why things are as they are: a sentence for every status, and the steps to the root cause."""

from __future__ import annotations

import pytest
from fakes import NEVER, Behaviour, Death, PretendedWorld, a_process, a_task, live

from thermos.core.records import DiskPressure, KillRequested, Record
from thermos.core.state import State, initial
from thermos.core.task import Backoff, Condition, HealthCheck, Process, Rule, Stop, TcpCheck
from thermos.core.why import chain, why, why_each
from thermos.rehearsal.life import History
from thermos.rehearsal.world import NothingHappens, TimeIsUp

CHECK = HealthCheck(tcp=TcpCheck("http"), interval=1.0, initial_interval=0.0)
LATER = 1_000.0


def at(
    seconds: float,
    *processes: Process,
    runs: dict[str, list[Behaviour]] | None = None,
    requests: tuple[KillRequested | DiskPressure, ...] = (),
    deaths: tuple[Death, ...] = (),
    **task: int,
) -> History:
    """A task's life up to a time."""
    behaviours = runs or {}

    def script(name: str, run: int) -> Behaviour:
        known = behaviours.get(name, [Behaviour()])
        return known[min(run, len(known) - 1)]

    history = History()
    world = PretendedWorld(a_task(*processes, **task), script, requests, deaths, until=seconds)
    try:
        live(world, history=history)
    except (NothingHappens, TimeIsUp):
        pass
    return history


def told(history: History, now: float, number: int | None = 0) -> list[str]:
    assert history.state is not None
    return ["  " * step.depth + step.text for step in why(history.state, number, now)]


FOREVER = Behaviour(seconds=NEVER)
DEAF = Behaviour(seconds=NEVER, stops_in=NEVER)
BAD = Behaviour(code=3)


def test_before_anybody_takes_charge() -> None:
    state = initial(a_task(a_process("a")))
    assert [step.text for step in why(state, None, 0.0)] == [
        "the task was accepted, and nobody has taken charge of it yet"
    ]
    assert [step.text for step in why(state, 0, 0.0)] == ["a waits for its task to begin"]


def test_what_waits_names_the_root_cause() -> None:
    history = at(1.0, a_process("a"), a_process("b", after=("a",)), a_process("c", after=("b",)), runs={"a": [FOREVER]})
    assert told(history, 5.0, 2) == [
        "c waits for b to succeed",
        "  b waits for a to succeed",
        "    a/0 runs, for 5.0s",
    ]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition("a", "started"), "to be started"),
        (Condition("a", "healthy"), "to be healthy"),
        (Condition("a", "completed"), "to be over"),
        (Condition("a", "failed"), "to fail for good"),
        (Condition("a", "log", "ready"), "to write a line that matches 'ready'"),
    ],
    ids=lambda value: getattr(value, "on", None),
)
def test_each_condition_has_its_words(condition: Condition, words: str) -> None:
    first = a_process("a", health=CHECK)
    slow = Behaviour(seconds=NEVER, starts_in=9.0)
    history = at(1.0, first, a_process("b", conditions=(condition,)), runs={"a": [slow]})
    assert told(history, 2.0, 1) == [
        f"b waits for a {words}",
        "  a/0 was asked for 2.0s ago, and does not run yet",
    ]


def test_several_things_are_told_one_by_one() -> None:
    history = at(
        1.5,
        a_process("a"),
        a_process("b"),
        a_process("c", after=("a", "b")),
        runs={"a": [FOREVER], "b": [FOREVER]},
    )
    assert told(history, 2.0, 2) == [
        "c waits for 2 things to come about",
        "  c waits for a to succeed",
        "    a/0 runs, for 2.0s",
        "  c waits for b to succeed",
        "    b/0 runs, for 2.0s",
    ]


def test_of_many_things_some_are_told() -> None:
    names = tuple(f"p{n}" for n in range(9))
    history = at(1.0, *map(a_process, names), a_process("z", after=names), runs={name: [FOREVER] for name in names})
    assert told(history, 2.0, 9)[-1] == "  and for 4 more"


def test_a_pause_is_told_with_its_reason() -> None:
    history = at(2.0, a_process("a", max_failures=3, min_duration=5.0), runs={"a": [BAD]})
    assert told(history, 2.5) == [
        "a runs again in 3.5s",
        "  its last run: run 0 FAILED, exited with 3",
        "  the pause is 5.0s: min_duration is 5.0s",
    ]
    again = at(20.0, a_process("a", max_failures=9, min_duration=5.0), runs={"a": [BAD]})
    assert told(again, 20.0)[-1] == "  the pause is 7.0s: min_duration is 5.0s, and 3 runs in a row went wrong"


def test_a_pause_by_a_rule_names_it() -> None:
    rule = Rule(codes=((3, 3),), budget=4, backoff=Backoff(initial=20.0))
    history = at(2.0, a_process("a", restart=(Rule(oom=True), rule)), runs={"a": [BAD]})
    assert told(history, 2.0)[-1] == "  its restart rule 2 makes a pause of 20s: restart 1 of 4"


def test_a_place_is_waited_for_in_a_line() -> None:
    history = at(0.5, *map(a_process, "abcd"), runs={"a": [FOREVER], "b": [FOREVER]}, max_concurrency=2)
    assert told(history, 1.0, 3) == [
        "d waits for a place: all 2 that max_concurrency allows are taken",
        "  by a, b",
        "  before it in line: c",
    ]
    assert told(history, 1.0, 2)[-1] == "  before it in line: nobody"


def test_a_full_disk_keeps_what_is_ready_from_running() -> None:
    full = DiskPressure(at=0.5, why="the disk is full")
    history = at(5.0, a_process("a"), a_process("b", after=("a",)), requests=(full,))
    assert told(history, 5.0, 1) == ["b is not started: the disk is full"]
    assert "  nothing new is started: the disk is full" in told(history, 5.0, None)


def test_a_finalizer_waits_for_the_others() -> None:
    history = at(1.0, a_process("a"), a_process("z", final=True), runs={"a": [FOREVER]})
    assert told(history, 1.0, 1) == ["z is a finalizer: it runs when all that is not final has ended"]


def test_health_is_told_of_what_runs() -> None:
    late = HealthCheck(tcp=TcpCheck("http"), interval=1.0, initial_interval=30.0)
    no = Behaviour(seconds=NEVER, answers=())
    assert told(at(2.5, a_process("a", health=late), runs={"a": [no]}), 3.0) == [
        "a/0 runs, for 3.0s",
        "  it is not healthy yet, after 3 checks: it does not answer",
    ]
    assert told(at(2.5, a_process("a", health=late), runs={"a": [FOREVER]}), 3.0)[-1] == "  it is healthy"


def test_what_does_not_stop_says_who_asked_and_until_when() -> None:
    kill = KillRequested(at=2.0, by="thermos kill")
    history = at(3.0, a_process("a"), runs={"a": [DEAF]}, requests=(kill,))
    assert told(history, 4.0) == [
        "a/0 has not ended yet, and was told to stop",
        "  the task is CLEANING: a kill was requested",
        "  SIGTERM was sent 2.0s ago, and it has not ended; SIGKILL follows in 28s",
    ]
    own = at(3.0, a_process("a", stop=Stop(2, "all", 5.0)), runs={"a": [DEAF]}, requests=(kill,))
    assert told(own, 4.0)[-1] == "  SIGINT was sent 2.0s ago, and it has not ended; SIGKILL follows in 3.0s"
    with_finalizer = at(3.0, a_process("a"), a_process("z", final=True), runs={"a": [DEAF]}, requests=(kill,))
    assert told(with_finalizer, 4.0)[-1].endswith("SIGKILL follows in 13s"), "half of the budget is the finalizers'"


def test_what_sigkill_does_not_end_says_so() -> None:
    kill = KillRequested(at=2.0, by="thermos kill", force=True)
    stone = Behaviour(seconds=NEVER, unkillable=True)
    history = at(3.0, a_process("a"), runs={"a": [stone]}, requests=(kill,))
    assert told(history, 4.0)[-1] == (
        "  SIGKILL was sent 2.0s ago; if the kernel cannot end it, the task goes on without it in 8.0s"
    )


def test_the_unhealthy_are_stopped_for_that() -> None:
    sick = Behaviour(seconds=NEVER, answers=(), stops_in=NEVER)
    history = at(1.0, a_process("a", health=CHECK), runs={"a": [sick]})
    assert told(history, 1.0) == [
        "a/0 has not ended yet, and was told to stop",
        "  its health check failed: it does not answer",
        "  SIGTERM was sent 1.0s ago, and it has not ended; SIGKILL follows in 29s",
    ]


def test_children_that_are_left_are_told_of() -> None:
    history = at(2.0, a_process("a"), runs={"a": [Behaviour(leaves=5.0)]})
    assert (
        told(history, 2.0)[0] == "a/0 has ended (run 0 SUCCESS, exited with 0), and processes that it left still live"
    )


@pytest.mark.parametrize(
    ("process", "run", "last"),
    [
        (a_process("a", max_failures=1), BAD, "  that was failure 1 of 1 (max_failures)"),
        (a_process("a", restart=(Rule(again=False),)), BAD, "  its restart rule 1 says that it fails"),
        (
            a_process("a", restart=(Rule(budget=1, backoff=Backoff()),)),
            BAD,
            "  its restart rule 1 allows 1 restarts, and 1 are spent",
        ),
        (a_process("a", ephemeral=True), BAD, "  it is ephemeral: the task does not fail with it"),
    ],
    ids=["limit", "rule", "budget", "ephemeral"],
)
def test_a_failure_for_good_names_what_allowed_no_more(process: Process, run: Behaviour, last: str) -> None:
    history = at(50.0, process, a_process("b"), runs={"a": [run], "b": [FOREVER]})
    lines = told(history, 60.0)
    assert lines[0].startswith("a failed for good: run ")
    assert lines[-1] == last


def test_what_finished_says_how() -> None:
    assert told(at(5.0, a_process("a")), 5.0) == ["a has finished: run 0 SUCCESS, exited with 0"]


def test_what_we_stopped_says_for_what() -> None:
    kill = KillRequested(at=2.0, by="thermos kill")
    assert told(at(5.0, a_process("a"), runs={"a": [FOREVER]}, requests=(kill,)), 5.0) == [
        "a was stopped: run 0 KILLED, killed by SIGTERM, asked by SIGTERM",
        "  the task is KILLED: a kill was requested",
    ]


def test_the_skipped_lead_to_what_did_not_fail() -> None:
    history = at(
        5.0,
        a_process("a"),
        a_process("b", conditions=(Condition("a", "failed"),)),
        a_process("c", after=("b",)),
    )
    assert told(history, 5.0, 2) == [
        "c was skipped: what it waits for cannot come about any more",
        "  c waits for b to succeed",
        "    b was skipped: what it waits for cannot come about any more",
        "      b waits for a to fail for good",
        "        a has finished: run 0 SUCCESS, exited with 0",
    ]


def test_a_deadlock_is_told_by_the_task_and_by_whoever_never_ran() -> None:
    history = at(5.0, a_process("a"), a_process("b", after=("a",)), runs={"a": [BAD]}, max_failures=0)
    reason = "nothing can run: b waits for a, which failed for good"
    assert told(history, 5.0, None) == [
        f"the task is FAILED: {reason}",
        "  a failed for good: run 0 FAILED, exited with 3",
        "    that was failure 1 of 1 (max_failures)",
        "  b never ran",
        "    b waits for a to succeed, and that comes no more",
        "      a: see above",
    ]
    assert told(history, 5.0, 1)[:2] == [
        f"b never ran: the task is FAILED: {reason}",
        "  b waits for a to succeed, and that comes no more",
    ]


def test_the_task_says_who_holds_it_up() -> None:
    history = at(1.5, a_process("a"), a_process("b", after=("a",)), a_process("c"), runs={"c": [FOREVER]})
    assert told(history, 3.0, None) == [
        "the task is ACTIVE: the task was accepted",
        "  2 processes are still to be done",
        "  b/0 runs, for 2.0s",
        "  c/0 runs, for 3.0s",
    ]


def test_what_one_has_told_the_others_do_not_tell_again() -> None:
    history = at(1.0, a_process("a"), a_process("b", after=("a",)), a_process("c", after=("b",)), runs={"a": [FOREVER]})
    assert history.state is not None
    assert [step.text for step in why_each(history.state, [1, 2], 1.0)] == [
        "b waits for a to succeed",
        "a/0 runs, for 1.0s",
        "c waits for b to succeed",
        "b: see above",
    ]


def test_steps_about_ends_know_their_record_and_the_chain_goes_on_from_there() -> None:
    history = at(9.0, a_process("a", max_failures=2), a_process("b", after=("a",)), runs={"a": [BAD]}, max_failures=0)
    records = dict(enumerate(history.records(), 1))
    assert history.state is not None
    step = why(history.state, 0, 9.0, records)[0]
    assert type(records[step.seq]).__name__ == "Exited"
    assert step.at == records[step.seq].at
    launched = next(seq for seq, r in records.items() if getattr(r, "run", 0) == 1)
    assert [type(records[seq]).__name__ for seq in chain(records, launched)] == ["Launched", "Exited"]
    assert chain({}, 7) == []


def test_the_skipped_know_the_record_that_skipped_them() -> None:
    history = at(5.0, a_process("a"), a_process("b", conditions=(Condition("a", "failed"),)))
    records = dict(enumerate(history.records(), 1))
    assert history.state is not None
    assert type(records[why(history.state, 1, 5.0)[0].seq]).__name__ == "Exited"


def test_there_is_an_answer_at_every_moment_of_a_life_with_everything_in_it() -> None:
    """Whatever the state: an answer for the task and for each process, and the same one twice."""
    asked = 0

    def watch(state: State, records: tuple[Record, ...], kind: str) -> None:
        nonlocal asked
        for number in (None, *range(len(state.processes))):
            steps = why(state, number, state.at)
            assert steps
            assert steps[0].depth == 0
            assert all(step.text for step in steps)
            assert steps == why(state, number, state.at)
            asked += 1

    processes = (
        a_process("db", daemon=True, ephemeral=True, health=CHECK, max_failures=0, min_duration=1.0),
        a_process("try", max_failures=3, restart=(Rule(codes=((3, 3),), budget=1, backoff=Backoff(1.0)),)),
        a_process("undo", conditions=(Condition("try", "failed"),)),
        a_process("then", after=("try",), conditions=(Condition("db", "healthy"),)),
        a_process("last", final=True),
        a_process("cannot", final=True, conditions=(Condition("last", "log", "never"),)),
    )
    behaviours = {
        "db": [Behaviour(seconds=NEVER, answers=((0.0, True), (3.0, False)), stops_in=2.0)],
        "try": [BAD, Behaviour(signal=9), Behaviour(seconds=4.0)],
    }

    def script(name: str, run: int) -> Behaviour:
        known = behaviours.get(name, [Behaviour(leaves=0.5)])
        return known[min(run, len(known) - 1)]

    for death in (Death(2.5), Death(4.5, 3.0, reboot=True)):
        live(PretendedWorld(a_task(*processes, max_concurrency=2), script, deaths=(death,)), watch=watch)
    assert asked > 300
