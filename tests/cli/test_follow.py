"""Following a journal: what appears, what is appended, what is replaced, what goes away."""

from __future__ import annotations

import os
import select
import shutil
from typing import Any

import pytest
from task_directories import DEADLINE, Cli

from thermos.checkpoint import codec, follow, tasks
from thermos.checkpoint.follow import Follower
from thermos.core import records as r
from thermos.core.evolve import evolve
from thermos.core.state import State, fold_of, initial


def wakes(follower: Follower) -> bool:
    return bool(select.select([follower], [], [], DEADLINE)[0])


def test_a_journal_that_appears_later_is_followed_from_its_beginning(cli: Cli) -> None:
    task = cli.task()
    with Follower(str(cli.root), task.id) as follower:
        assert follower.new() == []
        task.activate()
        assert wakes(follower)
        assert [type(record) for record in follower.new()] == [r.Supervised, r.StageEntered]
        task.start(0)
        assert wakes(follower)
        assert [type(record) for record in follower.new()] == [r.Launched, r.Started]
        assert follower.seq == 4
        assert follower.new() == []


def test_nothing_new_does_not_wake(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    with Follower(str(cli.root), task.id) as follower:
        follower.new()
        tasks.status(str(cli.root), task.id)  # reading is no change
        assert select.select([follower], [], [], 0) == ([], [], [])


def test_half_a_frame_is_no_news_until_the_other_half_is_there(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    frame = codec.encode(3, [r.Launched(at=3.0, process=0, run=0)])
    with Follower(str(cli.root), task.id) as follower, task.journal.open("ab", buffering=0) as journal:
        follower.new()
        journal.write(frame[:10])
        assert wakes(follower)
        assert follower.new() == []
        journal.write(frame[10:])
        assert wakes(follower)
        assert [type(record) for record in follower.new()] == [r.Launched]


@pytest.mark.parametrize("read_before", [True, False])
def test_a_replaced_journal_gives_only_what_is_new(cli: Cli, read_before: bool) -> None:
    task = cli.task()
    task.activate()
    with Follower(str(cli.root), task.id) as follower:
        seen = follower.new() if read_before else []
        task.start(0)
        other = task.directory / "journal.new"
        shutil.copy(task.journal, other)
        with other.open("ab") as file:
            file.write(codec.encode(5, [r.Exited(at=5.0, process=0, run=0, source="waited", code=0)]))
        os.rename(other, task.journal)
        assert wakes(follower)
        seen += follower.new()
        assert [type(record) for record in seen] == [r.Supervised, r.StageEntered, r.Launched, r.Started, r.Exited]
        with task.journal.open("ab") as file:
            file.write(codec.encode(6, [r.KillRequested(at=6.0, by="root")]))
        assert wakes(follower)
        assert [type(record) for record in follower.new()] == [r.KillRequested]


def test_the_lock_let_go_wakes(cli: Cli) -> None:
    task = cli.task()
    task.take_charge()
    with Follower(str(cli.root), task.id) as follower:
        follower.new()
        assert tasks.supervised(str(cli.root), task.id)
        task.let_go()
        assert wakes(follower)
        assert not tasks.supervised(str(cli.root), task.id)


@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_a_task_that_is_forgotten_ends_the_following(cli: Cli, how: str) -> None:
    task = cli.task()
    task.activate()
    with Follower(str(cli.root), task.id) as follower:
        follower.new()
        if how == "removed":
            task.close()
            shutil.rmtree(task.directory)
        else:
            task.directory.rename(task.directory.parent / ".gone")
        assert wakes(follower)
        with pytest.raises(tasks.NoSuchTask):
            follower.new()


def test_what_cannot_be_followed_is_an_error_at_once(cli: Cli) -> None:
    with pytest.raises(tasks.NoSuchTask):
        Follower(str(cli.root), "nope")


def test_states_end_with_the_end(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    states = follow.states(str(cli.root), task.accepted)
    assert next(states).stage == "ACTIVE"
    task.end("KILLED")
    assert [state.stage for state in states] == ["KILLED"]


def compact(task: Any, root: str) -> State:
    """Write a task's journal anew, as one record; what it says."""
    state = tasks.read_state(root, task.accepted)
    fresh = task.directory / "journal.new"
    fresh.write_bytes(codec.HEADER + codec.encode(state.seq + 1, [r.Compacted(at=5.0, fold=fold_of(state))]))
    os.rename(fresh, task.journal)
    return evolve(state, r.Compacted(at=5.0, fold=fold_of(state)))


def test_a_compaction_costs_nobody_a_record_who_was_there_before(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    with Follower(str(cli.root), task.id) as follower:
        seen = follower.new()
        task.start(0)
        state = compact(task, str(cli.root))
        seen += follower.new()
    assert [type(record) for record in seen] == [r.Supervised, r.StageEntered, r.Launched, r.Started, r.Compacted]
    folded = initial(task.accepted.task)
    for record in seen:
        evolve(folded, record)
    assert folded == state


def test_whoever_comes_after_a_compaction_gets_all_in_one_record(cli: Cli) -> None:
    task = cli.task()
    task.activate()
    task.start(0)
    state = compact(task, str(cli.root))
    with Follower(str(cli.root), task.id) as follower:
        (record,) = follower.new()
        assert follower.seq == 5
    assert evolve(initial(task.accepted.task), record) == state
