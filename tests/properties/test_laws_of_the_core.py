"""Laws that hold for every task, every behaviour of its processes, every request and every death of its supervisor."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from fakes import NEVER, Behaviour, PretendedWorld, a_process, a_task, live, runs_of
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st
from recount import Recount

from thermos.checkpoint import codec
from thermos.core.decide import decide
from thermos.core.evolve import evolve
from thermos.core.fold import Run
from thermos.core.records import (
    Abandoned,
    KillRequested,
    Launched,
    Paused,
    Record,
    Signalled,
    StageEntered,
    Supervised,
    Unpaused,
)
from thermos.core.state import State, initial
from thermos.core.task import Backoff, Condition, Process, Rule, Stop, Task, TcpCheck
from thermos.core.task import HealthCheck as HealthCheckOf

Script = dict[str, list[Behaviour]]

law = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)

SECONDS = st.sampled_from([0.0, 0.5, 1.0, 3.0, 20.0])


RULES = st.builds(
    Rule,
    codes=st.sampled_from([None, None, ((1, 1),), ((0, 200),)]),
    signals=st.sampled_from([None, None, (signal.SIGSEGV,), (signal.SIGKILL, signal.SIGTERM)]),
    oom=st.sampled_from([None, None, None, True]),
    unhealthy=st.sampled_from([None, None, None, True]),
    under=st.sampled_from([None, None, 2.0]),
    over=st.sampled_from([None, None, 2.0]),
    again=st.sampled_from([True, True, False]),
    backoff=st.sampled_from([None, Backoff(), Backoff(1.0, 3.0, 5.0), Backoff(1.0, 2.0, 60.0, 0.5)]),
    budget=st.sampled_from([None, 0, 1, 2]),
    reset=st.sampled_from([2.0, 60.0]),
)

CHECKS = st.builds(
    HealthCheckOf,
    tcp=st.just(TcpCheck("http")),
    interval=st.sampled_from([1.0, 3.0]),
    initial_interval=st.sampled_from([0.0, 1.0, 4.0]),
    max_failures=st.sampled_from([0, 0, 1]),
    min_successes=st.sampled_from([1, 1, 2, 4]),
)

PATTERNS = ("ready", "^re", "never")


@st.composite
def conditions(draw: st.DrawFn, before: list[Process], ephemeral: bool) -> tuple[Condition, ...]:
    """What a process waits for besides successes: whatever of these may be waited for."""
    wishes: list[Condition] = []
    for other in before:
        if draw(st.integers(0, 2)):
            continue
        kinds = ["started", "log"] + ["healthy"] * (other.health is not None)
        kinds += [] if other.ephemeral and not ephemeral else ["completed", "failed"]
        on: Any = draw(st.sampled_from(kinds))
        wishes.append(Condition(other.name, on, draw(st.sampled_from(PATTERNS)) if on == "log" else ""))
    return tuple(wishes)


@st.composite
def tasks(draw: st.DrawFn, daemons: bool = True, checks: bool = True) -> Task:
    """Every legal graph: nobody follows a daemon, no lasting process follows an ephemeral one, plans do not mix."""
    plain = draw(st.integers(0, 3)) == 0  # half as many words, as many tasks
    processes: list[Process] = []
    for number in range(draw(st.integers(0, 6))):
        daemon = draw(st.booleans()) if daemons else False
        ephemeral = draw(st.integers(0, 3)) == 0
        final = draw(st.integers(0, 3)) == 0
        candidates = [p for p in processes if p.final == final and not p.daemon and (ephemeral or not p.ephemeral)]
        after = [p.name for p in candidates if draw(st.booleans())]
        processes.append(
            a_process(
                f"p{number}",
                after=tuple(after),
                max_failures=draw(st.sampled_from([0, 1, 1, 2, 3])),
                min_duration=draw(st.sampled_from([0.0, 0.0, 1.0, 5.0])),
                daemon=daemon,
                ephemeral=ephemeral,
                final=final,
                conditions=()
                if plain
                else draw(conditions([p for p in processes if p.final == final], ephemeral), label="conditions"),
                success_codes=draw(st.sampled_from([((0, 0),), ((0, 0),), ((0, 1), (137, 140))])),
                stop=Stop(
                    draw(st.sampled_from([15, 2])),
                    draw(st.sampled_from(["all", "all", "main"])),
                    draw(st.sampled_from([None, None, 0.5, 5.0])),
                ),
                restart=() if plain else tuple(draw(st.lists(RULES, max_size=2), label="rules")),
                health=draw(st.one_of(st.none(), CHECKS)) if checks and not plain else None,
            )
        )
    return a_task(
        *draw(st.permutations(processes)),
        max_failures=draw(st.sampled_from([0, 1, 1, 2])),
        max_concurrency=draw(st.sampled_from([0, 0, 1, 2, 3])),
        finalization_wait=draw(st.sampled_from([0.0, 4.0, 30.0])),
    )


def behaviours(ends: bool, faithful: bool = False) -> st.SearchStrategy[Behaviour]:
    """`ends`: every run ends by itself; `faithful`: and nothing of it resists SIGKILL."""
    deaths = st.sampled_from([None, None, None, signal.SIGSEGV, signal.SIGTERM, signal.SIGKILL])
    return st.builds(
        Behaviour,
        seconds=SECONDS if ends else st.one_of(SECONDS, st.just(NEVER)),
        code=st.sampled_from([0, 0, 0, 1, 137]),
        signal=deaths,
        oom=st.booleans(),
        refused=st.sampled_from([None, None, None, 2, 12]),
        starts_in=st.sampled_from([0.0, 0.0, 0.1, 2.0]),
        stops_in=st.sampled_from([0.0, 0.0, 1.0, 10.0, NEVER]),
        stop_code=st.sampled_from([None, 0, 1]),
        unkillable=st.just(False) if faithful else st.integers(0, 9).map(lambda n: n == 0),
        stays=st.sampled_from([0.0, 0.0, 0.3, 4.0, NEVER]),
        answers=st.sampled_from(
            [((0.0, True),), ((2.0, True),), ((0.0, True), (2.0, False)), ((1.0, True), (2.0, False), (4.0, True)), ()]
        ),
        lines=st.sampled_from([(), ((0.0, "ready"),), ((1.0, "begun"), (2.5, "ready"))]),
        leaves=st.sampled_from([0.0, 0.0, 0.0, 0.2]) if faithful else st.sampled_from([0.0, 0.0, 0.2, 3.0, NEVER]),
    )


@st.composite
def scripts(draw: st.DrawFn, task: Task, ends: bool, faithful: bool = False) -> Callable[[str, int], Behaviour]:
    """A few scripted runs for each process, then it succeeds for ever: who retries without end is freed at last."""
    first = {
        process.name: draw(st.lists(behaviours(ends, faithful), max_size=4), label=process.name)
        for process in task.processes
    }

    def script(name: str, run: int) -> Behaviour:
        return first[name][run] if run < len(first[name]) else Behaviour()

    return script


#: Never at the same instant as anything else: what happens at one instant may be learned in any order.
KILLS = st.lists(
    st.builds(
        KillRequested,
        at=st.sampled_from([0.003, 0.057, 1.013, 2.529, 7.041, 31.067]),
        by=st.just("somebody"),
        wait=st.sampled_from([None, None, 0.0, 3.0]),
        force=st.sampled_from([False, False, False, True]),
    ),
    max_size=3,
)

#: When everything stands still, and when it goes on. At the same instants as nothing else, too.
PAUSES = st.sampled_from([(), (), ((0.005, 0.071),), ((1.017, 9.049),), ((0.059, 0.083), (2.531, 60.077))])


def pauses(when: tuple[tuple[float, float], ...]) -> list[Paused | Unpaused]:
    return [each for at, until in when for each in (Paused(at=at, by="somebody"), Unpaused(at=until, by="somebody"))]


#: Daemons and everything else that never ends by itself need somebody to end them.
LATE_KILL = KillRequested(at=300.091, by="the end of the test")

DEATHS = st.frozensets(st.integers(1, 120), max_size=6)

COMPACTIONS = st.frozensets(st.integers(1, 40), min_size=1, max_size=12)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[PretendedWorld, frozenset[int], frozenset[int], float]:
    """Anything at all: a world, when the supervisor dies in it, when its host reboots, and how long nobody minds."""
    task = draw(tasks(), label="task")
    requests = [*draw(KILLS, label="kills"), *pauses(draw(PAUSES, label="pauses")), LATE_KILL]
    world = PretendedWorld(task, draw(scripts(task, ends=False)), requests)
    downtime = draw(st.sampled_from([0.0, 0.0, 0.7, 20.0]), label="downtime")
    return world, draw(DEATHS, label="crashes"), draw(DEATHS, label="reboots"), downtime


@law
@given(worlds())
def test_every_task_ends_with_nothing_running_but_what_cannot_be_killed(given: Any) -> None:
    world, crashes, reboots, downtime = given
    history = live(world, crashes=crashes, reboots=reboots, downtime=downtime)
    assert history.state is not None
    assert history.state.ended
    assert not history.state.busy
    assert world.over, "the End effect was lost"
    for key, run in world.runs.items():
        assert run.phase != "running" or run.behaviour.unkillable, key
        assert run.phase != "starting", key


@law
@given(worlds())
def test_no_run_is_ever_launched_twice(given: Any) -> None:
    world, crashes, reboots, downtime = given
    history = live(world, crashes=crashes, reboots=reboots, downtime=downtime)
    started = Counter((process, run) for _, process, run in world.launches)
    assert all(times == 1 for times in started.values()), started
    recorded = Counter((r.process, r.run) for r in history.records() if isinstance(r, Launched))
    assert all(times == 1 for times in recorded.values()), recorded
    assert started.keys() <= recorded.keys(), "something was started before it was in the journal"


@law
@given(worlds())
def test_nothing_starts_outside_its_stage_or_before_its_pause_is_over(given: Any) -> None:
    world, crashes, reboots, downtime = given

    def watch(state: State, records: tuple[Record, ...], kind: str) -> None:
        for record in records:
            if not isinstance(record, Launched):
                continue
            definition = state.task.processes[record.process]
            assert state.stage == ("FINALIZING" if definition.final else "ACTIVE")
            previous = state.processes[record.process].runs[-2:-1]
            for run in previous:
                assert run.ended_at is not None
                pause = 0.0 if any(rule.backoff for rule in definition.restart) else definition.min_duration
                assert record.at >= run.ended_at + pause

    live(world, crashes=crashes, reboots=reboots, downtime=downtime, watch=watch)


@law
@given(worlds())
def test_max_concurrency_is_never_exceeded(given: Any) -> None:
    world, crashes, reboots, downtime = given
    limit = world.task.max_concurrency
    assume(limit)

    def watch(state: State, records: tuple[Record, ...], kind: str) -> None:
        live_ones = sum(p.status == "live" for p in state.processes)
        assert live_ones <= limit
        assert live_ones == state.busy

    live(world, crashes=crashes, reboots=reboots, downtime=downtime, watch=watch)


@law
@given(worlds())
def test_the_indexes_agree_with_the_facts_after_every_record(given: Any) -> None:
    world, crashes, reboots, downtime = given
    live(
        world,
        crashes=crashes,
        reboots=reboots,
        downtime=downtime,
        watch=lambda state, records, kind: indexes_are_consistent(state),
    )


def indexes_are_consistent(state: State) -> None:
    where: Counter[int] = Counter()
    for final in (False, True):
        where.update(state.ready[final])
        where.update(number for _, number in state.due[final])
    for live_ones in (state.forked, state.running, state.stopping, state.killing, state.spared, state.lingering):
        where.update(list(live_ones))
    for number, process in enumerate(state.processes):
        definition = state.task.processes[number]
        run = process.run
        match process.status:
            case "waiting":
                assert where[number] == (process.unmet == 0), number
                due = [at for at, n in state.due[definition.final] if n == number]
                assert due in ([], [process.not_before])
            case "live":
                assert where[number] == 1
                assert run is not None
                if run.lingers:
                    spared = run.signalled not in (None, signal.SIGKILL) and definition.stop.to != "main"
                    assert number in (state.spared if spared else state.lingering)
                elif run.signalled == signal.SIGKILL:
                    assert number in state.killing
                elif run.signalled is not None:
                    assert number in state.stopping
                else:
                    assert number in (state.forked if run.state == "FORKED" else state.running)
            case "finished" | "failed" | "stopped" | "skipped":
                assert where[number] == 0
        if number in state.sick:
            assert number in state.running
            assert run is not None
            assert run.unhealthy
    if state.overdue:
        _, first, of = state.overdue[0]
        assert first in state.stopping or first in state.spared
        assert of == state.processes[first].launches - 1


@law
@given(worlds())
def test_what_is_counted_as_it_happens_is_what_is_counted_anew(given: Any) -> None:
    """Who waits, who is awaited, who moves, who is skipped, how much is left; and what is launched waits for nothing.

    And a task is stuck when that says so, and only then; the reason names somebody. One that stands still meanwhile
    is told so when it goes on.
    """
    world, crashes, reboots, downtime = given
    history = live(world, crashes=crashes, reboots=reboots, downtime=downtime)
    recount = Recount(world.task)
    for record in history.records():
        if isinstance(record, StageEntered) and record.reason.startswith("nothing can run"):
            assert recount.stuck()
            assert " waits for " in record.reason
        recount.fold(record)
        recount.check()
        state = recount.state
        failing = state.task.max_failures and state.plans[False].failed >= state.task.max_failures
        if state.stage == "ACTIVE" and state.kill_at is None and not failing and recount.stuck():
            following = decide(state, record.at).records
            if state.paused_at:
                assert not following
                continue
            assert following
            if isinstance(following[0], StageEntered):
                assert following[0].reason.startswith("nothing can run: ")
                assert following[0].cause
            else:  # what outlived a stop or a SIGKILL comes first
                assert all(isinstance(one, Signalled | Abandoned) for one in following)


@law
@given(worlds())
def test_nobody_is_restarted_more_often_than_his_rules_and_limits_allow(given: Any) -> None:
    world, crashes, reboots, downtime = given
    history = live(world, crashes=crashes, reboots=reboots, downtime=downtime)
    state = initial(world.task)
    spent: Counter[tuple[int, int]] = Counter()
    counted: Counter[int] = Counter()
    for record in history.records():
        if isinstance(record, Launched) and record.run:
            number, definition = record.process, state.task.processes[record.process]
            before = state.processes[number].runs[-1]
            assert before.signalled is None or before.unhealthy, "we had stopped it"
            assert before.state != "SUCCESS" or definition.daemon
            assert before.ended_at is not None
            seconds = before.ended_at - before.started_at if before.started_at is not None else 0.0
            place = next((n for n, rule in enumerate(definition.restart) if fits(rule, before, seconds)), None)
            if place is None:
                counted[number] += before.state == "FAILED"
                assert not definition.max_failures or counted[number] < definition.max_failures
            else:
                rule = definition.restart[place]
                spent[number, place] = 1 if seconds >= rule.reset else spent[number, place] + 1
                assert rule.again
                assert rule.budget is None or spent[number, place] <= max(rule.budget, seconds >= rule.reset)
                assert rule.budget != 0
                if rule.backoff is not None:
                    pause = rule.backoff.initial * rule.backoff.factor ** (spent[number, place] - 1)
                    pause = min(pause, rule.backoff.most)
                    assert record.at >= before.ended_at + pause * (1 - rule.backoff.jitter)
        evolve(state, record)


def fits(rule: Rule, run: Run, seconds: float) -> bool:
    """Whether the end of a run is one that a rule speaks of."""
    if run.state == "LOST" or run.exit is None:
        return False
    if (rule.under is not None and seconds >= rule.under) or (rule.over is not None and seconds < rule.over):
        return False
    said = [rule.codes, rule.signals, rule.oom, rule.unhealthy]
    if said == [None] * 4:
        return run.state != "SUCCESS"
    code = run.exit.code
    return (
        (rule.codes is not None and code is not None and any(low <= code <= high for low, high in rule.codes))
        or (rule.signals is not None and run.exit.signal in rule.signals)
        or (rule.oom is not None and rule.oom == run.exit.oom)
        or (rule.unhealthy is not None and rule.unhealthy == run.unhealthy)
    )


@law
@given(worlds())
def test_the_state_folded_from_the_encoded_journal_is_the_state_that_was_lived(given: Any) -> None:
    """RN-0."""
    world, crashes, reboots, downtime = given
    history = live(world, crashes=crashes, reboots=reboots, downtime=downtime)
    folded = initial(world.task)
    for record in history.records():
        evolve(folded, record)
    assert folded == history.state


@law
@given(worlds(), COMPACTIONS)
def test_the_state_folded_from_a_compacted_journal_is_the_state_that_was_lived(
    given: Any, compactions: frozenset[int]
) -> None:
    world, crashes, reboots, downtime = given
    history = live(world, crashes=crashes, reboots=reboots, compactions=compactions, downtime=downtime)
    folded = initial(world.task)
    for frame in history.frames:
        for record in codec.decode(frame, 0)[0].records:
            evolve(folded, record)
    assert folded == history.state


@law
@given(st.data())
def test_a_journal_compacted_anywhere_and_its_writer_killed_anywhere_change_nothing(data: st.DataObject) -> None:
    task = data.draw(tasks(), label="task")
    script = data.draw(scripts(task, ends=False, faithful=True), label="script")
    kills = [*data.draw(KILLS, label="kills"), *pauses(data.draw(PAUSES, label="pauses")), LATE_KILL]
    undisturbed = live(PretendedWorld(task, script, kills))
    compactions = data.draw(COMPACTIONS, label="compactions")
    disturbed = live(
        PretendedWorld(task, script, kills), compactions=compactions, crashes=data.draw(DEATHS, label="crashes")
    )
    assert undisturbed.state is not None
    assert disturbed.state is not None
    assert (disturbed.state.stage, disturbed.state.reason) == (undisturbed.state.stage, undisturbed.state.reason)
    assert runs_of(disturbed) == runs_of(undisturbed)


@law
@given(worlds())
def test_a_state_at_rest_stays_at_rest_and_names_a_time_to_wake_that_is_not_over(given: Any) -> None:
    world, crashes, reboots, downtime = given

    def watch(state: State, records: tuple[Record, ...], kind: str) -> None:
        ready = decide(state, world.now)
        if not ready.records:
            again = decide(state, world.now)
            assert again == ready
            assert ready.wake_at is None or ready.wake_at > world.now

    live(world, crashes=crashes, reboots=reboots, downtime=downtime, watch=watch)


@law
@given(worlds())
def test_any_prefix_of_the_journal_decides_what_was_decided_next(given: Any) -> None:
    """The core has no memory but the journal: replayed from any point it decides the same, causes and all."""
    world, _, _, _ = given
    kinds: list[Literal["fact", "decision"]] = []
    history = live(world, watch=lambda state, records, kind: kinds.append(kind))
    state = initial(world.task)
    for frame, kind in zip(history.frames, kinds, strict=True):
        records = codec.decode(frame, 0)[0].records
        if kind == "decision":
            assert decide(state, records[0].at).records == records
        for record in records:
            evolve(state, record)


@law
@given(st.data())
def test_a_supervisor_killed_anywhere_ends_where_one_that_never_died_does(data: st.DataObject) -> None:
    """With no time lost between two supervisors the same runs happen, and what ends by itself ends in the same way.

    Where SIGKILL works, that is: patience with what outlives it begins again with each supervisor.
    """
    task = data.draw(tasks(), label="task")
    script = data.draw(scripts(task, ends=False, faithful=True), label="script")
    kills = [*data.draw(KILLS, label="kills"), *pauses(data.draw(PAUSES, label="pauses")), LATE_KILL]
    undisturbed = live(PretendedWorld(task, script, kills))
    crashes = data.draw(st.frozensets(st.integers(1, 200), min_size=1, max_size=20), label="crashes")
    world = PretendedWorld(task, script, kills)
    disturbed = live(world, crashes=crashes)
    note(f"{disturbed.supervisors} supervisors")
    assert undisturbed.state is not None
    assert disturbed.state is not None
    assert disturbed.state.stage == undisturbed.state.stage
    assert disturbed.state.reason == undisturbed.state.reason
    assert runs_of(disturbed) == runs_of(undisturbed)


@law
@given(st.data())
def test_time_lost_between_two_supervisors_changes_no_result(data: st.DataObject) -> None:
    """Nobody asks for a kill and every run ends by itself: then the result does not depend on when we look."""
    task = data.draw(tasks(daemons=False, checks=False), label="task")  # nobody checks while nobody looks
    script = data.draw(scripts(task, ends=True, faithful=True), label="script")
    undisturbed = live(PretendedWorld(task, script))
    disturbed = live(
        PretendedWorld(task, script),
        crashes=data.draw(DEATHS, label="crashes"),
        downtime=data.draw(st.sampled_from([0.3, 4.0, 100.0]), label="downtime"),
    )
    assert undisturbed.state is not None
    assert disturbed.state is not None
    assert disturbed.state.stage == undisturbed.state.stage


@law
@given(st.data())
def test_a_task_whose_processes_all_end_needs_nobody_to_end_it(data: st.DataObject) -> None:
    task = data.draw(tasks(daemons=False), label="task")
    world = PretendedWorld(task, data.draw(scripts(task, ends=True), label="script"))
    history = live(world)
    assert history.state is not None
    assert history.state.stage in ("SUCCESS", "FAILED")


@law
@given(st.data())
def test_finalizers_get_their_turn_unless_the_budget_is_over_or_the_end_is_forced(data: st.DataObject) -> None:
    """Whatever the others do with their SIGTERM, as long as SIGKILL reaches them."""
    task = data.draw(tasks(), label="task")
    assume(task.finalization_wait and any(p.final and not p.ephemeral for p in task.processes))
    script = data.draw(scripts(task, ends=False, faithful=True), label="script")
    kill = KillRequested(at=data.draw(st.sampled_from([0.003, 1.513, 50.029]), label="kill at"), by="somebody")
    history = live(PretendedWorld(task, script, [kill]))
    launched = {r.process for r in history.records() if isinstance(r, Launched)}
    for number, process in enumerate(task.processes):
        if (
            process.final
            and not process.after
            and not process.conditions
            and not process.ephemeral
            and not task.max_concurrency
        ):
            assert number in launched, process.name
    cleaned = [r.at for r in history.records() if isinstance(r, StageEntered) and r.stage == "FINALIZING"]
    assert len(cleaned) == 1
    assert all(r.at >= cleaned[0] for r in history.records() if isinstance(r, Launched) and is_final(task, r))


def is_final(task: Task, record: Launched) -> bool:
    return task.processes[record.process].final


@law
@given(worlds())
def test_each_run_is_asked_to_stop_once_and_killed_once(given: Any) -> None:
    world, crashes, reboots, downtime = given
    history = live(world, crashes=crashes, reboots=reboots, downtime=downtime)
    stops = Counter((r.process, r.run, r.signal) for r in history.records() if isinstance(r, Signalled))
    assert all(times == 1 for times in stops.values()), stops


@law
@given(worlds())
def test_every_cause_is_an_earlier_record(given: Any) -> None:
    world, crashes, reboots, downtime = given
    history = live(world, crashes=crashes, reboots=reboots, downtime=downtime)
    records = history.records()
    for seq, record in enumerate(records, 1):
        assert 0 <= record.cause < seq
        if isinstance(record, Launched | Signalled):
            assert record.cause, "a decision has a cause"
        if record.cause and isinstance(record, Launched | Signalled | StageEntered):
            assert not isinstance(records[record.cause - 1], Supervised), (
                "a new supervisor is not the cause of anything"
            )


@law
@given(worlds())
def test_nothing_is_decided_while_a_task_stands_still_but_that_it_goes_on(given: Any) -> None:
    world, crashes, reboots, downtime = given
    history = live(world, crashes=crashes, reboots=reboots, downtime=downtime)
    still = False
    for record in history.records():
        assert not (still and isinstance(record, Launched | StageEntered | Signalled | Abandoned)), record
        still = isinstance(record, Paused) or (still and not isinstance(record, Unpaused))
    assert not still
