"""A plugin of pytest for the tests of a mutated copy: the same every time, quick to the first failure, and honest.

It sees that the copy is what is tested, and writes down which test failed and of what.
"""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

#: The environment's name for the file that takes the verdict: a test's id and its exception, separated by a tab.
VERDICT = "MUTATION_VERDICT"

hypothesis.settings.register_profile(
    "in a copy",
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],  # nobody reads the example: not made smaller
)
hypothesis.settings.load_profile("in a copy")


def pytest_configure() -> None:
    import thermos

    if not Path(thermos.__path__[0]).is_relative_to(Path.cwd()):
        raise pytest.UsageError(f"not the copy is tested, but {thermos.__path__[0]}")


def pytest_exception_interact(node: pytest.Item | pytest.Collector, call: pytest.CallInfo[object]) -> None:
    if isinstance(node, pytest.Item) and call.when == "call" and call.excinfo is not None:
        with open(os.environ[VERDICT], "a") as file:
            file.write(f"{node.nodeid}\t{call.excinfo.typename}\n")
