"""What may happen to a task, in the past tense. The journal is a list of these, and state is their fold.

Every record has `at`, seconds since the epoch on the task's steady clock (see `thermos.runtime.clock`), and
`cause`, the sequence number of the record that led to it (0 where the world did): that is what `why` follows.
Adding a field with a default keeps old journals readable; anything else is a new journal version.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .fold import Fold, Result, Source, Stage
from .task import Isolation


class Event(msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=True, gc=False):
    at: float
    cause: int = 0


class Supervised(Event, tag="supervised"):
    """A supervisor has heard what the keeper knows, and took charge."""

    boot_id: str
    pid: int
    epoch: float  # wall clock minus boot clock, fixed for this boot: what makes `at` steady


class Sandboxed(Event, tag="sandboxed"):
    """The keeper has made (or found again) the namespaces the processes live in."""

    init: int | None  # pid of the pid namespace's first process; None: no namespaces
    got: dict[str, str]  # namespace or mount -> what it is
    missing: dict[str, str]  # the same -> why not


class StageEntered(Event, tag="stage"):
    """The task entered a stage. `result` is how it will end unless a kill comes first."""

    stage: Stage
    reason: str
    result: Result | None = None


class KillRequested(Event, tag="kill"):
    """Somebody wants the task to end. A second request, or `force`, ends the waiting."""

    by: str
    wait: float | None = None  # seconds for everything; None: the task's finalization_wait
    force: bool = False
    heard_at: float | None = None  # when the keeper got it, where it is a signal


class Launched(Event, tag="launched"):
    """A run was decided on; only now may the keeper be asked for it. WAITING -> FORKED."""

    process: int
    run: int


class Started(Event, tag="started"):
    """The run's program was executed (execve succeeded). FORKED -> RUNNING."""

    process: int
    run: int
    pid: int
    ticks: int  # start time, field 22 of /proc/PID/stat: with boot id and pid, its identity


class Refused(Event, tag="refused"):
    """The run never executed anything: `step` failed. FORKED -> FAILED."""

    process: int
    run: int
    step: str
    errno: int
    message: str


class Exited(Event, tag="exited"):
    """The run's main process ended. Either code, or signal, or neither where nobody saw it."""

    process: int
    run: int
    source: Source
    code: int | None = None
    signal: int | None = None
    core: bool = False
    oom: bool = False
    cpu: float | None = None  # seconds, of the whole run
    memory: int | None = None  # bytes, the most the whole run held
    lingers: bool = False  # other processes of the run still live; `Emptied` follows
    why: str = ""


class Emptied(Event, tag="emptied"):
    """The last process of an ended run is gone too."""

    process: int
    run: int


class Signalled(Event, tag="signalled"):
    """A signal to a run was decided on; only now may the keeper be asked to send it."""

    process: int
    run: int
    signal: int
    stop: bool = True  # it is ours, and meant to end the run


class Abandoned(Event, tag="abandoned"):
    """SIGKILL was sent and the run did not die in time: it is left behind, and the task goes on."""

    process: int
    run: int


class Checked(Event, tag="checked"):
    """A health check of a run was answered. Answers that would change nothing are not written down."""

    process: int
    run: int
    ok: bool
    why: str = ""  # it is not well


class Matched(Event, tag="matched"):
    """A line of a process's output matched a pattern that somebody waits for."""

    process: int
    run: int
    pattern: str


class DiskPressure(Event, tag="disk-pressure"):
    """There is no room any more to write down what new runs would do, or there is again. As Kubernetes calls it."""

    why: str = ""  # empty: there is room again


class Paused(Event, tag="paused"):
    """Somebody wants everything of the task to stand still."""

    by: str


class Unpaused(Event, tag="unpaused"):
    """It goes on."""

    by: str


class UpdateRequested(Event, tag="update"):
    """Somebody wants other limits for what runs: of the task, or of one process."""

    by: str
    limits: dict[str, Any]  # fields of `task.Resources`; None: no limit any more
    process: int | None = None


class Updated(Event, tag="updated"):
    """What came of that. A limit that could not be had is as it was."""

    limits: dict[str, Any]  # those that hold now
    rows: tuple[Isolation, ...]  # asked versus got, of all that were asked for
    process: int | None = None


class Exceeded(Event, tag="exceeded"):
    """The task has used up something that it cannot give back, and ends."""

    why: str


class Compacted(Event, tag="compacted"):
    """All records up to here, folded: the first record of a journal that was written anew without them."""

    fold: Fold


Record = (
    Supervised
    | Sandboxed
    | StageEntered
    | KillRequested
    | Launched
    | Started
    | Refused
    | Exited
    | Emptied
    | Signalled
    | Abandoned
    | Checked
    | Matched
    | DiskPressure
    | Paused
    | Unpaused
    | UpdateRequested
    | Updated
    | Exceeded
    | Compacted
)
