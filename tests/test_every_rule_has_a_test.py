"""Thermos's own scenarios and our decisions, each by its name, and the tests that hold them.

A test says which of them it holds in its docstring, a story in the remarks above its line: "PL-3", "decision 4". Here
is the list of all there are. One that no test names, and one that is named and does not exist, is an error.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent

#: What Thermos was tested for, in a few words. PL: who may run; PR: one process; RN: whole tasks; RC: death, recovery;
#: CL: the command line; CF: configuration files; HC: health checks.
SCENARIOS = {
    "PL-1": "no processes",
    "PL-2": "three processes without order",
    "PL-3": "a chain",
    "PL-4": "a chain and two free ones",
    "PL-5": "circles",
    "PL-6": "an ephemeral one alone, and its failure",
    "PL-8": "a daemon and its failures",
    "PL-9": "a daemon that is ephemeral",
    "PL-10": "who may not follow whom",
    "PL-11": "a failed predecessor",
    "PL-12": "a daemon's min_duration",
    "PL-13": "three daemons with three times to wait",
    "PL-14": "all fail, and max_failures=0",
    "PL-16": "the regular and the final plan",
    "PL-17": "a cap on runs",
    "PR-1": "hello world",
    "PR-2": "a process in an image",
    "PR-3": "another user",
    "PR-4": "whose the logs are",
    "PR-5": "descriptors of the parent",
    "PR-6": "both logs are complete",
    "PR-7": "logs that rotate",
    "PR-8": "the environment",
    "PR-9": "where logs go",
    "RN-0": "state replayed is state lived",
    "RN-1": "two joins and a port",
    "RN-3": "a profile for all that comes later",
    "RN-5": "a chain that breaks below the limit",
    "RN-6": "half fails and the task does not care",
    "RN-7": "a sidecar that nobody waits for",
    "RN-8": "a finalizer",
    "RN-9": "finalizers in order",
    "RN-12": "a finalizer of a failed task",
    "RN-13": "200 MB of log",
    "RN-14": "logs that rotate at 1 MB",
    "RN-15": "logs that rotate at the default",
    "RN-16": "a supervisor that dies again and again",
    "RC-1": "the process is killed",
    "RC-2": "its parent is killed",
    "RC-3": "parent, process and supervisor are killed one after another",
    "RC-4": "all are killed, then the task by force",
    "RC-5": "a forced kill after a second",
    "RC-7": "whose pid it is",
    "RC-8": "pids that are gone",
    "CL-1": "a file with one task, and with several",
    "CL-2": "no file, no task, an unknown one, and nobody says which",
    "CL-3": "a task made of a command line",
    "CF-1": "order of processes and of their names",
    "CF-2": "sums and maxima of resources",
    "CF-4": "simple and sequential tasks, combined and concatenated",
    "CF-5": "options of a command, rendered",
    "CF-6": "port maps: numbers, aliases, circles",
    "CF-7": "the ports that a job asks for",
    "CF-8": "jobs that lack something, and files that do",
    "CF-10": "a job by its name",
    "CF-11": "resources that are too small",
    "CF-12": "names that nothing is bound to",
    "CF-13": "containers",
    "CF-14": "fields of newer and of older schemas",
    "CF-15": "a job in full, with its defaults",
    "CF-16": "identifiers, cron policies, metadata, constraints",
    **{
        f"HC-{number}": "health checks in a row, and what they come to"
        for number in (1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13)
    },
    "HC-14": "a file that snoozes the checks",
    "HC-15": "which checks a job's configuration asks for",
    "HC-16": "what HTTP answers",
    "HC-17": "how a command ends",
    "HC-18": "metrics of checks",
}

#: What we do otherwise than Thermos did, or where it left things open.
DECISIONS = {
    "decision 1": "which signal deaths are failures",
    "decision 2": "no cap on runs; min_duration; back-off",
    "decision 3": "a stop reaches everyone, and nothing of a run outlives it",
    "decision 4": "a stop waits for a start; finalizers have their time; none is begun twice",
    "decision 5": "a deadlock is FAILED, and says who blocks whom",
    "decision 6": "names and orders are refused when the file is loaded",
    "decision 7": "exits are kept; identity is not the wall clock's business",
    "decision 8": "exit statuses; kill is exact and graceful",
    "decision 9": "children start clean",
    "decision 10": "a sandbox of its own for each task",
    "decision 11": "200 to 399 is healthy; checks run as the user, inside, with bounded output",
}

#: Scenarios that end otherwise than they did with Thermos, and by which decision. Their tests show how.
ANSWERED_BY = {
    "PL-17": "decision 2: a healthy daemon is no failure after a hundred runs",
    "RC-2": "decision 7: the keeper's death loses no process, so there is nothing LOST and nothing run twice",
    "RC-3": "decision 7: the keeper may die, so the first run is KILLED when it is killed, and not LOST before",
    "RC-7": "decision 7: start time in ticks and the boot, exactly; neither ten seconds' grace nor a user's name",
}

#: What the product does not do yet, and why.
NOT_YET = {
    "PR-2": "images and volumes: a file that asks for one is refused",
    "PR-7": "a process has no `logger` yet: its logs grow",
    "RN-14": "as PR-7",
    "RN-15": "as PR-7",
    "CL-3": "there is no `simplerun` yet",
    "HC-14": "checks cannot be snoozed yet",
    "HC-15": "the health check of an Aurora job is kept and shown, and nobody asks",
    "HC-18": "the observer counts no checks yet",
}

#: What is held in part only, and what is missing.
IN_PART = {
    "PR-9": "files are the only destination: no console, no both, no none",
    "decision 11": "as HC-14",
}

RULE = re.compile(r"\b(PL|PR|RN|RC|CL|CF|HC)-(\d+)\b")
DECISION = re.compile(r"\bdecisions? (\d+(?:(?:, | and )\d+)*)", re.IGNORECASE)


def named_in(text: str) -> set[str]:
    rules = {found[0] for found in RULE.finditer(text)}
    numbers = {number for found in DECISION.finditer(text) for number in re.findall(r"\d+", found[1])}
    return rules | {f"decision {number}" for number in numbers}


def claims(path: Path) -> list[str]:
    """What the tests of a file say of themselves."""
    if path.suffix == ".txt":
        given = path.read_text().partition("----\n")[0]
        return [line for line in given.splitlines() if line.startswith("#")]
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    return [ast.get_docstring(node) or "" for node in functions if node.name.startswith("test_")]


def holders() -> dict[str, set[str]]:
    """Rule or decision -> the files whose tests name it."""
    held: dict[str, set[str]] = {}
    for path in sorted([*TESTS.rglob("test_*.py"), *TESTS.glob("scenarios/*.txt")]):
        for claim in claims(path):
            for name in named_in(claim):
                held.setdefault(name, set()).add(str(path.relative_to(TESTS)))
    return held


def test_every_scenario_and_every_decision_has_a_test_or_a_reason() -> None:
    assert (SCENARIOS | DECISIONS).keys() - holders().keys() == NOT_YET.keys()


def test_no_test_names_what_there_is_not() -> None:
    held = holders()
    assert {name: held[name] for name in held.keys() - (SCENARIOS | DECISIONS).keys()} == {}


def test_what_is_held_in_part_is_held() -> None:
    assert IN_PART.keys() <= holders().keys()


def test_an_answer_names_a_decision_that_tests_hold_as_they_do_the_scenario() -> None:
    for name, answer in ANSWERED_BY.items():
        assert named_in(answer) & DECISIONS.keys(), name
        assert {name, *named_in(answer)} <= holders().keys(), name


def test_names_are_found_however_they_stand_in_a_sentence() -> None:
    assert named_in("PL-6. RN-8, RN-9 and RN-12; decisions 3, 4 and 10. Decision 5: xPL-1, RN-x.") == {
        "PL-6",
        "RN-8",
        "RN-9",
        "RN-12",
        "decision 3",
        "decision 4",
        "decision 10",
        "decision 5",
    }
