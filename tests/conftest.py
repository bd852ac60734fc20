"""What a test marked `root`, `browser` or `exit_facts` needs, and the rule that CI leaves none of them out."""

from __future__ import annotations

import os
import pkgutil
import shutil
from collections.abc import Generator
from functools import cache
from importlib import import_module

import pytest
from hypothesis import settings

import observer
import sandbox
import thermos
from sandbox import host

#: CI looks at the same examples each time: what it refuses, a change has done. Chance is for those who develop.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI") == "true":
    settings.load_profile("ci")
    # Hypothesis tries the constants of every module it finds imported: what tests before it in the same worker have
    # needed must not decide which examples there are.
    for package in (thermos, sandbox, observer):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)

CGROUPS = ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs")
MARKS = ("root", "browser", "exit_facts")

#: Files that take minutes. They begin first, so that several at a time are done at about the same time.
LONGEST = ("test_crash_points.py", "test_soak.py", "test_bench.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root"):
        if os.geteuid():
            pytest.skip("needs root")
        if not any(os.access(path, os.W_OK) for path in CGROUPS):
            pytest.skip(f"needs cgroups that can be written: none of {', '.join(CGROUPS)}")
    if item.get_closest_marker("browser") and not shutil.which("chromium"):
        pytest.skip("needs chromium: apt-get install chromium")
    if item.get_closest_marker("exit_facts") and not _exit_facts().works:
        pytest.skip(f"{_exit_facts().why_not}: {_exit_facts().remedy}")


@cache
def _exit_facts() -> host.Fact:
    (fact,) = host.exits()
    return fact


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a skipped test with one of these marks is a failed one: green must mean that it ran."""
    report = yield
    marked = [mark for mark in MARKS if item.get_closest_marker(mark)]
    if marked and report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"a test marked {marked[0]} may not be skipped with CI=true: {report.longrepr}"
    return report
