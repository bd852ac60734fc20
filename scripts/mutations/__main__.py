"""Breaks the core in a copy of this repository, one mutation at a time, and sees that the quick tests notice."""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

from .in_a_copy import VERDICT
from .kind import CannotMutate, Mutation, mutations_in

ROOT = Path(__file__).parents[2]
TEXTS = sorted(Path(__file__).parent.glob("*.txt"))
#: Stories first: they are quick, and most mutations do not outlive them.
TESTS = ("tests/scenarios", "tests/core", "tests/checkpoint", "tests/properties")
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "node_modules")
#: Seconds; ten times what all of the tests take.
DEADLINE = 300
#: A test that fails of these has not noticed a wrong result: the mutation is no working program.
NONSENSE = ("NameError", "UnboundLocalError", "AttributeError", "ImportError", "ModuleNotFoundError", "SyntaxError")


@dataclass(frozen=True)
class Outcome:
    """`words`: the test that failed, or else why nothing can be said. Empty where all passed."""

    killed: bool
    words: str
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.words


def main() -> int:
    """0; 1 where a mutation survived; 2 where it cannot be found out."""
    signal.signal(signal.SIGTERM, _leave)
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="this mutation; again for more")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="default: the processors")
    parser.add_argument("--list", action="store_true", help="only show what would be done, and that it can be")
    given = parser.parse_args()
    if given.jobs < 1:
        parser.error(f"cannot do {given.jobs} at a time: --jobs takes at least 1")
    try:
        chosen = _chosen(given.only)
        if given.list:
            for mutation in chosen:
                mutation.mutated(ROOT)
                print(f"{mutation.name:24} {mutation.file:30} {mutation.breaks}")
            return 0
        with tempfile.TemporaryDirectory(prefix="thermos-mutate-") as directory:
            return _carry_out(chosen, Path(directory), min(given.jobs, len(chosen)))
    except CannotMutate as error:
        print(f"mutate: {error}", file=sys.stderr)
        return 2


def _chosen(names: Sequence[str] | None) -> list[Mutation]:
    """All, or those with these names. Raises CannotMutate, also where two have the same name."""
    known: dict[str, Mutation] = {}
    for mutation in itertools.chain.from_iterable(map(mutations_in, TEXTS)):
        if other := known.get(mutation.name):
            raise CannotMutate(f"cannot tell apart two mutations {mutation.name}: {other.place}; {mutation.place}")
        known[mutation.name] = mutation
    if unknown := set(names or ()) - known.keys():
        raise CannotMutate(f"cannot find {', '.join(sorted(unknown))}: scripts/mutate --list shows the names")
    return [mutation for name, mutation in known.items() if not names or name in names]


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def _carry_out(mutations: Sequence[Mutation], directory: Path, jobs: int) -> int:
    """Raises CannotMutate, also where the tests fail without any mutation."""
    pristine = _copy(ROOT, directory / "pristine")
    for mutation in mutations:
        mutation.mutated(pristine)
    _compile(pristine)
    copies: SimpleQueue[Path] = SimpleQueue()
    for number in range(jobs):
        copies.put(_copy(pristine, directory / f"copy-{number}"))
    begun = time.monotonic()
    whole = _test(pristine)
    if not whole.passed:
        raise CannotMutate(f"cannot tell whom the tests kill: they fail without any mutation: {whole.words}")
    print(f"mutate: the tests pass in {whole.seconds:.0f} s; {len(mutations)} mutations, {jobs} at a time", flush=True)

    def attempt(mutation: Mutation) -> Outcome:
        copy = copies.get()
        try:
            return _attempt(mutation, copy)
        finally:
            copies.put(copy)

    survivors: list[tuple[Mutation, Outcome]] = []
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for mutation, outcome in zip(mutations, pool.map(attempt, mutations), strict=True):
                word = "killed" if outcome.killed else "SURVIVED"
                print(f"{word:8} {outcome.seconds:5.1f} s  {mutation.name:24} {outcome.words}", flush=True)
                if not outcome.killed:
                    survivors.append((mutation, outcome))
            for outcome in pool.map(_test, [copies.get() for _ in range(jobs)]):
                if not outcome.passed:
                    raise CannotMutate(f"cannot believe any of this: the copies are not as they were: {outcome.words}")
        finally:
            pool.shutdown(cancel_futures=True)
    print(f"mutate: {len(mutations) - len(survivors)} of {len(mutations)} killed, {time.monotonic() - begun:.0f} s")
    for mutation, outcome in survivors:
        words = f" ({outcome.words})" if outcome.words else ""
        print(f"mutate: survived: {mutation.name}, {mutation.file}: {mutation.breaks}{words}", file=sys.stderr)
    return 1 if survivors else 0


def _copy(root: Path, to: Path) -> Path:
    shutil.copytree(root, to, ignore=NOT_COPIED if root == ROOT else None, symlinks=True)
    return to


def _compile(root: Path) -> None:
    """By content, not by time: a mutation may leave size and time of a file as they were."""
    folders = [str(root / name) for name in ("thermos", "sandbox", "tests")]
    command = [sys.executable, "-m", "compileall", "-qq", "--invalidation-mode", "checked-hash", *folders]
    subprocess.run(command, check=False)  # some files of tests are no Python on purpose


def _attempt(mutation: Mutation, copy: Path) -> Outcome:
    path = copy / mutation.file
    text = path.read_text()
    try:
        path.write_text(mutation.mutated(copy))
        return _test(copy)
    finally:
        path.write_text(text)


def _test(copy: Path) -> Outcome:
    """Run the tests in a copy to the first failure. Words are empty, or the failed test, or what went wrong."""
    fresh = Path(tempfile.mkdtemp(prefix="run-", dir=copy))  # nothing of the run before may be met by this one
    verdict = fresh / "verdict"
    options = ["-x", "-q", "--tb=line", "--assert=plain", "-p", "no:cacheprovider", "-p", "mutations.in_a_copy"]
    # What a failed test leaves mounted goes with its process.
    apart = ["unshare", "--mount"] if os.geteuid() == 0 else []
    command = [*apart, sys.executable, "-m", "pytest", *options, f"--basetemp={fresh / 'tmp'}", *TESTS]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", VERDICT: str(verdict)}
    environment.pop("PYTHONSAFEPATH", None)
    begun = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
    except subprocess.TimeoutExpired:
        return Outcome(False, f"the tests were not over after {DEADLINE} s", DEADLINE)
    seconds = time.monotonic() - begun
    if done.returncode == 0:
        return Outcome(False, "", seconds)
    if done.returncode != 1 or not verdict.exists():
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        return Outcome(False, f"pytest could not run the tests ({done.returncode}): {''.join(last)}", seconds)
    test, error = verdict.read_text().splitlines()[0].split("\t")
    if error in NONSENSE:
        return Outcome(False, f"it is no working program: {error} in {test}", seconds)
    return Outcome(True, test, seconds)


if __name__ == "__main__":
    sys.exit(main())
