"""Tasks for drawings: random ones without circles, and names of every legal kind."""

from __future__ import annotations

from typing import Any

import msgspec
from fakes import a_process
from hypothesis import strategies as st

from thermos.core.task import Condition, Process, Resources, Task

ONS = ("succeeded", "started", "healthy", "completed", "failed", "log")
#: What any drawing's language might take for its own, and what turns or widens a line.
NASTY = "\"<>&{}|[]()\\;:#%`'$*_~=-+.,!? ─│┌├▶▼א中\u0301éß😀\u2028"


def a_task(*processes: Process, max_concurrency: int = 0) -> Task:
    return Task("pictured", processes, 1, max_concurrency, 30.0, None, Resources(), {})


def chained(*names: str, **fields: Any) -> tuple[Process, ...]:
    """Each after the one before it."""
    return tuple(
        msgspec.structs.replace(a_process(name, after=names[max(place - 1, 0) : place]), **fields)
        for place, name in enumerate(names)
    )


def waiting(name: str, **ons: str) -> Process:
    """A process that waits for others to come to something."""
    conditions = tuple(Condition(other, on) for other, on in ons.items() if on != "succeeded")  # type: ignore[arg-type]
    after = tuple(other for other, on in ons.items() if on == "succeeded")
    return msgspec.structs.replace(a_process(name, after=after), conditions=conditions)


legal_names = (
    st.text(st.one_of(st.sampled_from(NASTY), st.characters(codec="utf-8")), min_size=1, max_size=60)
    .filter(str.isprintable)
    .filter(lambda name: name[0] != "." and "/" not in name and len(name.encode()) <= 200)
)


@st.composite
def tasks(draw: st.DrawFn, most: int = 12, names: st.SearchStrategy[str] | None = None, all_ons: bool = True) -> Task:
    """Up to `most` processes, any order without circles, any conditions, in any order of the file."""
    count = draw(st.integers(1, most))
    called = (
        [f"p{number}" for number in range(count)]
        if names is None
        else draw(st.lists(names, min_size=count, max_size=count, unique=True))
    )
    density = draw(st.sampled_from((0.1, 0.25, 0.5, 0.9)))
    chance = st.floats(0, 1, exclude_max=True)
    processes: list[Process] = []
    for place, name in enumerate(called):
        after: list[str] = []
        conditions: list[Condition] = []
        final = draw(st.booleans()) and place > count // 2
        for before in range(place):
            if processes[before].final != final or draw(chance) > density:
                continue
            for on in draw(st.sets(st.sampled_from(ONS), min_size=1, max_size=2)) if all_ons else ("succeeded",):
                if on == "succeeded":
                    after.append(called[before])
                else:
                    pattern = draw(st.text(st.sampled_from(NASTY), min_size=1, max_size=30)) if on == "log" else ""
                    conditions.append(Condition(called[before], on, pattern))  # type: ignore[arg-type]
        process = a_process(name, after=tuple(after), final=final, daemon=draw(st.booleans()))
        processes.append(msgspec.structs.replace(process, conditions=tuple(conditions), ephemeral=draw(st.booleans())))
    return a_task(*draw(st.permutations(processes)))
