"""What an agent that polls is told of a task that somebody has paused."""

from __future__ import annotations

import os

from running_observer import Start
from tasks_on_disk import THEN, began, launched, process, put_task

from thermos import paths
from thermos.checkpoint import lock
from thermos.core import records as r


def test_a_task_that_stands_still_serves_nobody_until_it_goes_on(root: str, start: Start) -> None:
    web = process("web", daemon=True)
    on_disk = put_task(root, "still", [web], began() + launched(0))
    fd = os.open(f"{on_disk.directory}/{paths.LOCK}", os.O_RDWR | os.O_CREAT)
    assert lock.take(fd)
    try:
        observer = start(root)
        assert observer.get("/health/still").status == 200
        on_disk.append(r.Paused(at=THEN + 5, by="somebody"))
        for path in ("/health/still", "/health/still/web"):
            answer = observer.get(path)
            assert (answer.status, answer.json["health"]) == (503, "unhealthy")
            assert "paused" in answer.json["why"]
        on_disk.append(r.Unpaused(at=THEN + 6, by="somebody"))
        assert observer.get("/health/still/web").status == 200
    finally:
        os.close(fd)
