"""What it takes to read a task file: `thermos validate` of 1,000 processes beyond starting Python, and the memory that
a supervisor has more for the format its task was written in: none, as somebody else has read it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

from .commands import run, until
from .kind import Place, Row, Sample, Side
from .processes import children, command_line, proportional_size, settle
from .programs import thermos

_COUNT = 1000

#: PyYAML's own quick loader, which says nothing of lines, fields, defaults or order.
_YAML = "import sys, yaml; yaml.load(open(sys.argv[1]), Loader=yaml.CSafeLoader)"
_JSON = "import sys, json; json.load(open(sys.argv[1]))"


def _process(number: int) -> dict[str, object]:
    after = [f"step-{before}" for before in (number - 1, number // 2) if 0 <= before < number]
    return {
        "name": f"step-{number}",
        "cmdline": f"./step --number {number} --of {{{{thermos.task_id}}}}",
        "max_failures": 3,
        "env": {"LEVEL": "info", "STEP": str(number)},
        "after": list(dict.fromkeys(after)),
    }


def _as_yaml(processes: list[dict[str, object]]) -> str:
    """As people write it: in blocks."""
    lines = ["name: bench", "processes:"]
    for process in processes:
        begin = "  - "
        for field, value in process.items():
            lines.append(f"{begin}{field}: {value if field == 'cmdline' else json.dumps(value)}")
            begin = "    "
    return "\n".join(lines) + "\n"


def _write(place: Place, suffix: str) -> str:
    path = place.directory / f"task{suffix}"
    processes = [_process(number) for number in range(_COUNT)]
    path.write_text(_as_yaml(processes) if suffix == ".yaml" else json.dumps({"name": "bench", "processes": processes}))
    return str(path)


def _python(*words: str) -> float:
    """Milliseconds."""
    return run([sys.executable, *words]).took * 1000


def _beyond_python(suffix: str, argv: list[str]) -> Callable[[Place], AbstractContextManager[Sample]]:
    @contextmanager
    def ready(place: Place) -> Generator[Sample]:
        file = _write(place, suffix)
        yield lambda: run([*argv, file]).took * 1000 - _python("-c", "pass")

    return ready


def _supervisors_memory(suffix: str) -> Callable[[Place], AbstractContextManager[Sample]]:
    first = {"name": "first", "argv": ["sleep", "infinity"]}
    task = {"name": "bench", "processes": [first, *({**_process(n), "after": ["first"]} for n in range(_COUNT))]}

    @contextmanager
    def ready(place: Place) -> Generator[Sample]:
        def sample() -> float:
            with thermos.started(task, place, f"task{suffix}") as begun:
                until("the first process runs", lambda: (begun.directory / "sandbox/.logs/first/0/stdout").exists())
                mine = {pid for pid in children(begun.keeper) if "thermos.runtime.supervisor" in command_line(pid)}
                settle(lambda: mine)
                return proportional_size(mine) / 1e6

        yield sample

    return ready


def _row(suffix: str, alone: str) -> Row:
    return Row(
        f"validate-{suffix[1:]}",
        f"`thermos validate` of {_COUNT:,} processes in {suffix[1:].upper()}, beyond starting Python",
        "ms",
        Side(thermos.NAME, thermos.THERMOS, thermos.PACKAGE, _beyond_python(suffix, [thermos.THERMOS, "validate"])),
        Side("parser alone", sys.executable, "python3", _beyond_python(suffix, [sys.executable, "-c", alone])),
        most=150,
    )


ROWS = (
    _row(".yaml", _YAML),
    _row(".json", _JSON),
    Row(
        "load-memory",
        f"PSS of the supervisor of {_COUNT:,} processes from YAML, beside from JSON",
        "MB",
        Side("from YAML", thermos.THERMOS, thermos.PACKAGE, _supervisors_memory(".yaml")),
        Side("from JSON", thermos.THERMOS, thermos.PACKAGE, _supervisors_memory(".json")),
        most_ratio=1.02,
        repeat=3,
    ),
)
