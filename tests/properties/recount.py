"""What the indexes of a state stand for, counted anew from the facts each time: slow, and plainly right.

The facts are the records, which say what has come about, and what the end of a run made of its process.
"""

from __future__ import annotations

from thermos.core.evolve import evolve
from thermos.core.records import Checked, Launched, Matched, Record, Started
from thermos.core.state import initial
from thermos.core.task import Task

#: A process, and what it may come to.
Milestone = tuple[int, str]


class Recount:
    """A state that is folded record by record, and beside it what has come about so far."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.state = initial(task)
        self.numbers = {process.name: number for number, process in enumerate(task.processes)}
        self.seen: set[Milestone] = set()
        self.everyone = range(len(task.processes))

    def fold(self, record: Record) -> None:
        if isinstance(record, Launched):
            assert self.unmet(record.process) == [], "launched before all that it waits for has come about"
            assert record.process not in self.skipped(), "launched though it was skipped"
        self.state = evolve(self.state, record)
        match record:
            case Started():
                self.seen.add((record.process, "started"))
            case Matched():
                self.seen.add((record.process, f"log:{record.pattern}"))
            case Checked():
                run = self.state.processes[record.process].run
                if run is not None and run.checks is not None and run.checks.passed:
                    self.seen.add((record.process, "healthy"))
            case _:
                pass

    def waits(self, number: int) -> list[Milestone]:
        """All it waits for, from the beginning on."""
        process = self.task.processes[number]
        succeeded = [(self.numbers[name], "succeeded") for name in dict.fromkeys(process.after)]
        return succeeded + [
            (self.numbers[wish.process], f"log:{wish.pattern}" if wish.on == "log" else wish.on)
            for wish in process.conditions
        ]

    def failed(self, number: int) -> bool:
        """For good."""
        process = self.state.processes[number]
        return process.status == "failed" or (
            process.status == "finished" and process.run is not None and process.run.state != "SUCCESS"
        )

    def skipped(self) -> set[int]:
        """All that wait for a failure that can come no more, and whoever waits for one of those but to be over."""
        found: set[int] = set()
        while True:
            new = {
                number
                for number in self.everyone
                for before, what in self.waits(number)
                if (what == "failed" and self.state.processes[before].status == "finished" and not self.failed(before))
                or (what != "completed" and before in found)
            }
            if new <= found:
                return found
            found |= new

    def has_come_about(self, milestone: Milestone) -> bool:
        number, what = milestone
        status = self.state.processes[number].status
        match what:
            case "succeeded":
                return status == "finished"
            case "completed":
                return status in ("finished", "failed") or number in self.skipped()
            case "failed":
                return self.failed(number)
            case _:
                return milestone in self.seen

    def unmet(self, number: int) -> list[Milestone]:
        return [wish for wish in self.waits(number) if not self.has_come_about(wish)]

    def counting(self) -> set[int]:
        """Whoever the task waits for: what is not ephemeral, and what somebody of these waits for still."""
        found = {number for number in self.everyone if not self.task.processes[number].ephemeral}
        skipped = self.skipped()
        while True:
            new = {before for number in found - skipped for before, _ in self.unmet(number)}
            if new <= found:
                return found
            found |= new

    def awaited(self, number: int) -> int:
        """How much others that count wait for of it."""
        others = self.counting() - self.skipped()
        return sum(before == number for other in others for before, _ in self.unmet(other))

    def moving(self, final: bool) -> int:
        return sum(
            self.task.processes[number].final == final
            and (
                self.state.processes[number].status == "live"
                or (self.state.processes[number].status == "waiting" and not self.unmet(number))
            )
            for number in self.counting()
        )

    def left(self, final: bool) -> int:
        skipped = self.skipped()
        return sum(
            not process.ephemeral
            and process.final == final
            and self.state.processes[number].status not in ("finished", "failed")
            and number not in skipped
            for number, process in enumerate(self.task.processes)
        )

    def stuck(self) -> bool:
        """Nothing the task waits for can go on, and it is not complete."""
        return self.left(False) > 0 and self.moving(False) == 0

    def check(self) -> None:
        """That the indexes say what is counted here."""
        skipped = self.skipped()
        for number, process in enumerate(self.state.processes):
            assert (process.status == "skipped") == (number in skipped), number
            if process.status != "skipped":
                assert process.unmet == len(self.unmet(number)), number
            if self.task.processes[number].ephemeral:
                assert process.awaited == self.awaited(number), number
            assert number not in skipped or not process.launches
        for final in (False, True):
            plan = self.state.plans[final]
            assert plan.left == self.left(final)
            assert plan.moving == self.moving(final)
            assert plan.failed == sum(
                self.failed(number)
                for number in self.everyone
                if self.task.processes[number].final == final and not self.task.processes[number].ephemeral
            )
