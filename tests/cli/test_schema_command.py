"""`thermos schema`."""

from __future__ import annotations

import json

from task_directories import Cli

from thermos.config import json_schema


def test_the_schema_is_json_whether_that_is_asked_for_or_not(cli: Cli) -> None:
    status, out, err = cli.run("schema")
    assert (status, err) == (0, "")
    assert json.loads(out) == json_schema.document()
    assert cli.run("schema", "--json") == (0, out, "")
