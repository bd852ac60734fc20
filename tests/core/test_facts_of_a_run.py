"""What the records of a run leave in the state: every fact of it, whatever came in between."""

from __future__ import annotations

import errno
import signal

import pytest
from fakes import a_process, a_task

from thermos.core.decide import decide
from thermos.core.evolve import classify, evolve
from thermos.core.fold import Exit
from thermos.core.records import (
    Abandoned,
    Emptied,
    Exited,
    Launched,
    Record,
    Refused,
    Signalled,
    StageEntered,
    Started,
)
from thermos.core.state import IllegalMove, State, initial

ACTIVE = StageEntered(at=0.0, stage="ACTIVE", reason="")
LAUNCHED = Launched(at=1.0, process=0, run=0)
STARTED = Started(at=2.0, process=0, run=0, pid=5, ticks=6)
STOP = Signalled(at=3.0, process=0, run=0, signal=signal.SIGTERM)
KILL = Signalled(at=4.0, process=0, run=0, signal=signal.SIGKILL)


def folded(*records: Record, max_failures: int = 1) -> State:
    state = initial(a_task(a_process("p", max_failures=max_failures), a_process("then", after=("p",))))
    for record in records:
        evolve(state, record)
    return state


def left_behind() -> State:
    """Its main process has ended well, and left children behind."""
    return folded(ACTIVE, LAUNCHED, STARTED, Exited(at=5.0, process=0, run=0, source="waited", code=0, lingers=True))


def test_every_fact_of_a_run_is_kept() -> None:
    ended = Exited(
        at=9.0, process=0, run=0, source="pidfd", signal=11, core=True, oom=True, cpu=1.5, memory=4096, why="as it is"
    )
    (run,) = folded(ACTIVE, LAUNCHED, STARTED, STOP, ended).processes[0].runs
    assert (run.number, run.state, run.pid, run.ticks) == (0, "FAILED", 5, 6)
    assert (run.launched_at, run.started_at, run.ended_at) == (1.0, 2.0, 9.0)
    assert (run.launched_by, run.signalled, run.signalled_by, run.signalled_at) == (2, signal.SIGTERM, 4, 3.0)
    assert run.exit == Exit(source="pidfd", signal=11, core=True, oom=True, cpu=1.5, memory=4096, why="as it is")


def test_death_by_another_signal_near_an_oom_kill_is_not_of_it() -> None:
    assert classify(Exit(source="waited", signal=signal.SIGTERM, oom=True), asked=None) == "KILLED"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.E2BIG, errno.ENOEXEC])
def test_what_can_never_be_executed_has_failed(number: int) -> None:
    refused = Refused(at=2.0, process=0, run=0, step="exec", errno=number, message="no")
    process = folded(ACTIVE, LAUNCHED, refused).processes[0]
    assert (process.runs[0].state, process.failures, process.status) == ("FAILED", 1, "failed")


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT])
def test_what_the_host_had_no_means_to_start_is_tried_again_and_does_not_count(number: int) -> None:
    refused = Refused(at=2.0, process=0, run=0, step="fork", errno=number, message="no")
    process = folded(ACTIVE, LAUNCHED, refused).processes[0]
    assert (process.runs[0].state, process.failures, process.status) == ("LOST", 0, "waiting")


def test_a_start_heard_of_after_the_stop_does_not_undo_it() -> None:
    state = folded(ACTIVE, LAUNCHED, STOP, STARTED)
    assert (list(state.running), list(state.stopping)) == ([], [0])
    assert state.processes[0].runs[0].state == "RUNNING"


def test_a_run_is_in_the_index_of_its_last_signal_only() -> None:
    state = folded(ACTIVE, LAUNCHED, STARTED, STOP)
    assert (list(state.running), list(state.stopping), list(state.killing)) == ([], [0], [])
    evolve(state, KILL)
    assert (list(state.running), list(state.stopping), list(state.killing)) == ([], [], [0])


def test_children_left_behind_may_be_signalled_and_are_then_no_run_that_is_stopped() -> None:
    state = left_behind()
    evolve(state, Signalled(at=6.0, process=0, run=0, signal=signal.SIGKILL))
    assert (list(state.lingering), list(state.stopping), list(state.killing)) == ([0], [], [])
    assert state.busy == 1
    evolve(state, Emptied(at=7.0, process=0, run=0))
    assert state.busy == 0


def test_a_process_is_not_over_before_its_children_are() -> None:
    state = left_behind()
    assert (state.processes[0].status, state.processes[1].unmet) == ("live", 1)
    evolve(state, Emptied(at=7.0, process=0, run=0))
    assert (state.processes[0].status, state.processes[1].unmet) == ("finished", 0)


def test_children_that_are_given_up_leave_the_run_what_it_was() -> None:
    state = left_behind()
    evolve(state, Abandoned(at=20.0, process=0, run=0))
    assert (state.processes[0].runs[0].state, state.processes[0].status) == ("SUCCESS", "finished")


def test_a_run_that_is_given_up_is_lost() -> None:
    state = folded(ACTIVE, LAUNCHED, STARTED, KILL, Abandoned(at=20.0, process=0, run=0))
    (run,) = state.processes[0].runs
    assert run.exit is not None
    assert (run.state, run.exit.source, run.ended_at) == ("LOST", "unknown", 20.0)
    assert (state.processes[0].failures, state.processes[0].status) == (0, "stopped")


def test_what_succeeds_while_it_is_being_stopped_has_finished() -> None:
    state = folded(ACTIVE, LAUNCHED, STARTED, STOP, Exited(at=5.0, process=0, run=0, source="waited", code=0))
    assert state.processes[0].status == "finished"
    assert (state.plans[False].left, state.plans[False].moving) == (1, 1)  # the follower is


def test_what_was_stopped_is_neither_done_nor_to_be_run_again() -> None:
    state = folded(ACTIVE, LAUNCHED, STARTED, STOP, Exited(at=5.0, process=0, run=0, source="waited", signal=15))
    assert state.processes[0].status == "stopped"
    assert (state.plans[False].left, state.plans[False].moving, state.plans[False].failed) == (2, 0, 0)


def test_successes_and_failures_are_counted_apart() -> None:
    state = folded(ACTIVE, max_failures=0)
    for run, code in enumerate((1, None, 1, 0)):
        evolve(state, Launched(at=run, process=0, run=run))
        source = "unknown" if code is None else "waited"
        evolve(state, Exited(at=run + 0.5, process=0, run=run, source=source, code=code))
    process = state.processes[0]
    assert (process.launches, process.failures, process.successes) == (4, 2, 1)


def test_a_run_that_went_wrong_after_exactly_a_minute_begins_a_new_row() -> None:
    state = folded(ACTIVE, max_failures=0)
    for run, seconds in enumerate((1.0, 1.0, 60.0, 59.0)):
        evolve(state, Launched(at=1000.0 * run, process=0, run=run))
        evolve(state, Started(at=1000.0 * run, process=0, run=run, pid=1, ticks=1))
        evolve(state, Exited(at=1000.0 * run + seconds, process=0, run=run, source="waited", code=1))
        assert state.processes[0].streak == (1, 2, 0, 1)[run]


def test_a_row_is_counted_from_the_start_of_the_program_not_from_the_decision() -> None:
    state = folded(ACTIVE, LAUNCHED, Started(at=100.0, process=0, run=0, pid=1, ticks=1), max_failures=0)
    evolve(state, Exited(at=110.0, process=0, run=0, source="waited", code=1))
    assert state.processes[0].streak == 1


def test_what_is_launched_out_of_its_turn_leaves_the_others_in_theirs() -> None:
    """Nobody does so today; the journal allows it."""
    names = ("a", "b", "c", "d")
    state = initial(a_task(*(a_process(name, max_failures=0, min_duration=1) for name in names)))
    evolve(state, ACTIVE)
    for number in range(4):
        evolve(state, Launched(at=0.0, process=number, run=0))
    for number in range(4):
        evolve(state, Exited(at=float(number), process=number, run=0, source="waited", code=1))
    evolve(state, Launched(at=50.0, process=1, run=1))
    order = [record.process for record in decide(state, 50.0).records if isinstance(record, Launched)]
    assert order == [0, 2, 3]
    assert state.due[False][0] == (1.0, 0)


def test_the_sixteen_newest_runs_are_kept() -> None:
    state = folded(ACTIVE, max_failures=0)
    for run in range(40):
        evolve(state, Launched(at=float(run), process=0, run=run))
        assert state.processes[0].run is state.processes[0].runs[-1]
        evolve(state, Exited(at=run + 0.5, process=0, run=run, source="unknown"))
    assert [run.number for run in state.processes[0].runs] == list(range(24, 40))


def test_a_name_given_twice_is_waited_for_once() -> None:
    state = initial(a_task(a_process("p"), a_process("then", after=("p", "p"))))
    assert (state.processes[1].unmet, state.graph.followers) == (1, ((1,), ()))


def test_a_run_that_was_executed_cannot_be_refused() -> None:
    with pytest.raises(IllegalMove, match="refused while RUNNING"):
        folded(ACTIVE, LAUNCHED, STARTED, Refused(at=3.0, process=0, run=0, step="exec", errno=2, message="no"))


def test_children_are_gone_once() -> None:
    state = left_behind()
    evolve(state, Emptied(at=6.0, process=0, run=0))
    with pytest.raises(IllegalMove, match="is empty already"):
        evolve(state, Emptied(at=7.0, process=0, run=0))


def test_children_of_a_run_that_was_stopped_have_time_and_of_one_that_was_killed_have_none() -> None:
    lingers = Exited(at=5.0, process=0, run=0, source="waited", signal=15, lingers=True)
    assert list(folded(ACTIVE, LAUNCHED, STARTED, STOP, lingers).spared) == [0]
    assert list(folded(ACTIVE, LAUNCHED, STARTED, STOP, KILL, lingers).spared) == []
    assert list(folded(ACTIVE, LAUNCHED, STARTED, lingers).spared) == []


def test_what_is_learned_late_does_not_turn_the_clock_back() -> None:
    state = folded(ACTIVE, LAUNCHED, STARTED, Exited(at=1.5, process=0, run=0, source="pidfd", code=0))
    assert state.processes[0].runs[0].ended_at == 1.5
    assert state.at == 2.0
