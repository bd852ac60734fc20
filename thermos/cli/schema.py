"""`thermos schema`: the task language as a JSON Schema."""

from __future__ import annotations

import json
from typing import Any

from thermos.config import json_schema

from .kind import JSON

HELP = """Print the JSON Schema of task files, for editors to complete and check them by."""

ARGUMENTS = ()

#: JSON is all that it prints, and whoever says so to every command may say so here.
OPTIONS = (JSON,)


def run(given: dict[str, Any]) -> int:
    print(json.dumps(json_schema.document(), indent=2))
    return 0
