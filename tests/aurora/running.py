"""How the tests here run files: in a cage as users do, or without one, which shows what the cage is good for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from thermos.formats import Loaded
from thermos.formats.aurora import AuroraDocument, child, load
from thermos.formats.aurora.answer import checked
from thermos.formats.aurora.choice import Choice

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SHOWN = {"thermos.task_id": "id", "thermos.user": "me", "mesos.instance": "3", "mesos.hostname": "here"}


def document(
    text: str, dialect: str = "thermos", choice: Choice | None = None, file: str = "task", **bindings: str
) -> AuroraDocument:
    return load(file, text, dialect, bindings, choice or Choice())


def in_process(text: str, dialect: str = "thermos", **bindings: str) -> AuroraDocument:
    """The same in this process, with no cage: ten times as fast, for what is about the language alone."""
    asked = {"file": "task", "text": text, "dialect": dialect, "bindings": bindings, "job": None, "task": None}
    said = child.answer(asked | {"instance": None}, lambda path: Path(path).read_text())
    return AuroraDocument(checked("task", json.loads(json.dumps(said))))


def dialect_of(path: Path) -> str:
    return path.suffix.removeprefix(".")


def task_of(document: AuroraDocument, file: str = "task") -> dict[str, Any]:
    """The task as the core takes it: what a run would go by."""
    loaded = Loaded(file, document, {})
    return loaded.task({**SHOWN, **{f"thermos.ports[{name}]": f"<{name}>" for name in loaded.ports}})


UNCAGED = """
import json, sys
from pystachio import Environment
from thermos.formats.aurora import places, result
from thermos.formats.aurora.choice import Choice
from thermos.formats.aurora.program import Program
file, dialect = sys.argv[1:]
def ask(path):
    return open(path).read()
program = Program(file, dialect, ask)
places.remember(program.sources)
program.run(open(file).read())
found = (result.of_aurora if dialect == "aurora" else result.of_thermos)(program, Environment({}), Choice())
assert not found.faults, [(fault.path, fault.message) for fault in found.faults]
json.dump(found.task, sys.stderr)
"""


def uncaged(path: Path, **how: Any) -> subprocess.CompletedProcess[str]:
    """The same program without a cage, in a process of its own that ends with 0 where the file does what it wants."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UNCAGED, str(path), dialect_of(path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        **how,
    )


def dumped(found: AuroraDocument) -> str:
    return json.dumps({"task": found.value, "aside": found.aside}, indent=2, sort_keys=True) + "\n"
