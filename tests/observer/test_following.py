"""Tasks are found, followed and forgotten by what inotify says."""

from __future__ import annotations

import os
import select
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tasks_on_disk import THEN, TaskOnDisk, began, exited, launched, over, process, put_task

from observer.tasks import Observed, Tasks
from thermos import paths
from thermos.checkpoint import lock

Follow = Callable[..., Tasks]


@pytest.fixture
def follow() -> Iterator[Follow]:
    followed: list[Tasks] = []

    def begin(*roots: str, ended: Callable[[Observed], None] = lambda task: None) -> Tasks:
        followed.append(Tasks(list(roots), ended))
        return followed[-1]

    yield begin
    for tasks in followed:
        tasks.close()


def news(tasks: Tasks) -> Tasks:
    """Wait until inotify has something to say, and take it in."""
    assert select.select([tasks], [], [], 10)[0], "nothing woke the observer"
    tasks.catch_up()
    return tasks


def state_of(tasks: Tasks, task_id: str) -> str | None:
    (task,) = tasks.find(task_id)
    return task.status.state if task.status else None


def test_a_task_that_was_there_before_is_read_to_the_end_of_its_journal(root: str, follow: Follow) -> None:
    put_task(root, "t1", records=began() + launched())
    (task,) = follow(root)
    assert task.status is not None
    assert (task.status.name, task.status.processes[0].state) == ("shop", "RUNNING")


def test_a_new_task_appears_when_its_directory_is_renamed_into_place(root: str, follow: Follow) -> None:
    os.makedirs(paths.tasks_dir(root))
    tasks = follow(root)
    put_task(root, "t1", records=began())
    assert [task.task_id for task in news(tasks)] == ["t1"]


def test_a_root_that_does_not_exist_yet_is_found_when_it_is_made(root: str, follow: Follow) -> None:
    tasks = follow(f"{root}/deep/down")
    put_task(f"{root}/deep/down", "t1", records=began())
    assert state_of(news(tasks), "t1") == "ACTIVE"


def test_a_root_moved_away_has_no_tasks_here_any_more(root: str, follow: Follow) -> None:
    put_task(root, "t1", records=began())
    tasks = follow(root)
    os.rename(root, f"{root}-aside")
    assert len(news(tasks)) == 0
    os.rename(f"{root}-aside", root)
    assert state_of(news(tasks), "t1") == "ACTIVE"


def test_two_roots_that_do_not_exist_below_the_same_directory_are_both_found(tmp_path: Path, follow: Follow) -> None:
    one, two = f"{tmp_path}/one", f"{tmp_path}/two"
    tasks = follow(one, two)
    put_task(one, "t1", records=began())
    news(tasks)
    put_task(two, "t2", records=began())
    assert {task.task_id for task in news(tasks)} == {"t1", "t2"}


def test_a_root_removed_and_made_again_is_followed_again(root: str, follow: Follow) -> None:
    put_task(root, "t1", records=began())
    tasks = follow(root)
    shutil.rmtree(root)
    assert len(news(tasks)) == 0
    put_task(root, "t2", records=began())
    assert state_of(news(tasks), "t2") == "ACTIVE"


def test_appended_records_are_folded_from_where_the_last_reading_ended(root: str, follow: Follow) -> None:
    on_disk = put_task(root, "t1", [process("web", max_failures=3)], began())
    tasks = follow(root)
    (task,) = tasks
    for run in range(3):
        on_disk.append(*launched(0, run), exited(0, run, code=1))
        news(tasks)
        assert task.status is not None
        assert task.status.processes[0].failures == run + 1


def test_a_journal_that_comes_after_its_task_is_read(root: str, follow: Follow) -> None:
    on_disk = put_task(root, "t1", records=began() + launched())
    journal = f"{on_disk.directory}/{paths.JOURNAL}"
    os.rename(journal, f"{root}/aside")
    tasks = follow(root)
    (task,) = tasks
    assert task.status is not None
    assert task.status.processes[0].state == "WAITING"
    os.rename(f"{root}/aside", journal)
    news(tasks)
    assert task.status.processes[0].state == "RUNNING"


def test_a_journal_replaced_by_another_is_read_from_its_beginning(root: str, follow: Follow) -> None:
    on_disk = put_task(root, "t1", records=began() + launched())
    other = put_task(f"{root}-2", "t1", records=[*began(), *launched(), exited(0, 0, code=9)])
    tasks = follow(root)
    os.replace(f"{other.directory}/{paths.JOURNAL}", f"{on_disk.directory}/{paths.JOURNAL}")
    (task,) = news(tasks)
    assert task.status is not None
    assert task.status.processes[0].state == "FAILED"
    assert not task.error


def test_a_torn_end_that_the_next_supervisor_cuts_off_is_not_damage(root: str, follow: Follow) -> None:
    on_disk = put_task(root, "t1", records=began())
    journal = f"{on_disk.directory}/{paths.JOURNAL}"
    with open(journal, "ab") as file:
        file.write(b"\x40\0\0\0torn")
    tasks = follow(root)
    (task,) = tasks
    assert not task.error
    on_disk.writer.close()
    on_disk.writer = type(on_disk.writer)(journal)
    on_disk.append(*launched())
    news(tasks)
    assert not task.error
    assert task.status is not None
    assert task.status.processes[0].state == "RUNNING"


def test_an_ended_task_is_kept_as_its_status_and_no_longer_watched(root: str, follow: Follow) -> None:
    on_disk = put_task(root, "t1", records=began() + launched())
    ended: list[Observed] = []
    tasks = follow(root, ended=ended.append)
    files = len(os.listdir("/proc/self/fd"))
    on_disk.append(exited(), *over())
    (task,) = news(tasks)
    assert task.status is not None
    assert (task.status.state, task.status.ended_at) == ("SUCCESS", THEN + 3)
    assert ended == [task]
    assert task.accepted is None
    assert len(os.listdir("/proc/self/fd")) == files - 1, "its journal was closed"
    tasks.catch_up()
    with open(f"{on_disk.directory}/{paths.JOURNAL}", "ab") as file:
        file.write(b"more")
    assert not select.select([tasks], [], [], 0)[0], "nothing wakes for it any more"


def test_a_task_that_is_removed_is_forgotten(root: str, follow: Follow) -> None:
    for task_id in ("running", "ended", "moved"):
        put_task(root, task_id, records=began() + (over() if task_id == "ended" else []))
    tasks = follow(root)
    shutil.rmtree(paths.task_dir(root, "running"))
    shutil.rmtree(paths.task_dir(root, "ended"))
    os.rename(paths.task_dir(root, "moved"), f"{root}/elsewhere")
    assert len(news(tasks)) == 0


def test_a_task_made_again_under_the_same_id_is_read_anew(root: str, follow: Follow) -> None:
    put_task(root, "t1", records=began() + over("FAILED"))
    tasks = follow(root)
    shutil.rmtree(paths.task_dir(root, "t1"))
    put_task(root, "t1", records=began(), name="second")
    (task,) = news(tasks)
    assert task.status is not None
    assert (task.status.name, task.status.state) == ("second", "ACTIVE")


def test_hidden_directories_links_and_plain_files_are_not_tasks(root: str, tmp_path: Path, follow: Follow) -> None:
    elsewhere = put_task(f"{tmp_path}/other", "t1", records=began())
    os.makedirs(paths.tasks_dir(root))
    tasks = follow(root)
    os.mkdir(f"{paths.tasks_dir(root)}/.being-made")
    os.symlink(elsewhere.directory, f"{paths.tasks_dir(root)}/link")
    with open(f"{paths.tasks_dir(root)}/file", "w"):
        pass
    assert len(news(tasks)) == 0
    assert len(follow(root)) == 0


def test_writing_in_the_sandbox_wakes_nobody(root: str, follow: Follow) -> None:
    on_disk = put_task(root, "t1", records=began() + launched())
    os.makedirs(paths.log_dir(f"{on_disk.directory}/sandbox", "web", 0))
    tasks = follow(root)
    on_disk.log("web", 0, "stdout", b"hello")
    assert not select.select([tasks], [], [], 0)[0]


def damage(on_disk: TaskOnDisk) -> None:
    with open(f"{on_disk.directory}/{paths.JOURNAL}", "ab") as file:
        file.write(b"\x04\0\0\0\1\2\3\4junk")


def test_damage_in_a_followed_journal_is_shown_beside_what_was_known(root: str, follow: Follow) -> None:
    on_disk = put_task(root, "t1", records=began() + launched())
    tasks = follow(root)
    damage(on_disk)
    (task,) = news(tasks)
    assert task.error.startswith("cannot read")
    assert f"{paths.JOURNAL} at offset" in task.error
    assert task.status is not None
    assert task.status.name == "shop"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda t: os.unlink(f"{t.directory}/task.json"), "there is no such file"),
        (lambda t: Path(f"{t.directory}/task.json").write_text(""), "cannot read task t1"),
        (lambda t: Path(f"{t.directory}/journal").write_bytes(b"ELF" * 99), "does not begin with a journal's header"),
        (lambda t: t.append(*launched(number=7)), "cannot understand"),
        (lambda t: t.append(*began()), "cannot understand"),
    ],
)
def test_what_cannot_be_read_is_shown_as_such_and_the_others_are_well(
    root: str, follow: Follow, spoil: Callable[[TaskOnDisk], object], why: str
) -> None:
    on_disk = put_task(root, "t1", records=began())
    put_task(root, "t2", records=began())
    spoil(on_disk)
    tasks = follow(root)
    assert why in tasks.find("t1")[0].error
    assert not tasks.find("t2")[0].error


def test_a_task_of_another_id_in_its_place_is_shown_as_unreadable(root: str, follow: Follow) -> None:
    put_task(root, "t1", records=began())
    os.rename(paths.task_dir(root, "t1"), paths.task_dir(root, "t2"))
    (task,) = follow(root)
    assert "is of task t1" in task.error


def test_a_file_where_the_root_should_be_is_waited_for_until_it_is_a_directory(tmp_path: Path, follow: Follow) -> None:
    root = f"{tmp_path}/root"
    with open(root, "w"):
        pass
    tasks = follow(root)
    os.unlink(root)
    put_task(root, "t1", records=began())
    assert state_of(news(tasks), "t1") == "ACTIVE"


def test_supervised_is_whether_somebody_holds_the_lock_at_this_moment(root: str, follow: Follow) -> None:
    on_disk = put_task(root, "t1", records=began())
    (task,) = follow(root)

    def supervised() -> bool:
        status = task.asked()
        return status is not None and status.supervised

    assert not supervised()
    with open(f"{on_disk.directory}/{paths.LOCK}", "w") as file:
        assert not supervised()
        assert lock.take(file.fileno())
        assert supervised()
    assert not supervised()


def test_the_same_id_under_two_roots_is_two_tasks(tmp_path: Path, follow: Follow) -> None:
    one, two = f"{tmp_path}/one", f"{tmp_path}/two"
    put_task(one, "t1", records=began())
    put_task(two, "t1", records=began(), name="other")
    tasks = follow(one, two)
    assert len(tasks.find("t1")) == 2
    assert [task.root for task in tasks.find("t1", two)] == [two]


def test_events_the_kernel_had_to_drop_cost_one_look_at_everything(root: str, follow: Follow) -> None:
    on_disk = put_task(root, "t1", records=began())
    tasks = follow(root)
    with open("/proc/sys/fs/inotify/max_queued_events") as file:
        most = int(file.read())
    for number in range(most // 2 + 1):
        os.mkdir(f"{paths.tasks_dir(root)}/.{number}")
        os.rmdir(f"{paths.tasks_dir(root)}/.{number}")
    on_disk.append(*launched())
    put_task(root, "t2", records=began())
    news(tasks)
    (task,) = tasks.find("t1")
    assert task.status is not None
    assert task.status.processes[0].state == "RUNNING"
    assert state_of(tasks, "t2") == "ACTIVE"
