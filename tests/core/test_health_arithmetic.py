"""Aurora's arithmetic of health checks, row by row: what a run is after each answer."""

from __future__ import annotations

import pytest

from thermos.core.fold import Checks
from thermos.core.health import after
from thermos.core.task import HealthCheck, TcpCheck


def a_check(interval: float, initial: float, failures: int, successes: int) -> HealthCheck:
    return HealthCheck(
        tcp=TcpCheck("http"),
        interval=interval,
        initial_interval=initial,
        max_failures=failures,
        min_successes=successes,
    )


def states(check: HealthCheck, answers: str) -> str:
    """S: begins; R: healthy; F: unhealthy."""
    checks, found = Checks(), ""
    for answer in answers:
        checks = after(checks, check, answer == "T", "refused")
        found += "F" if checks.failed else "R" if checks.passed else "S"
    return found


@pytest.mark.parametrize(
    ("row", "interval", "initial", "failures", "successes", "answers", "expected"),
    [
        ("HC-1", 10, 20, 0, 1, "T", "R"),
        ("HC-2", 10, 20, 0, 1, "FT", "SR"),
        ("HC-3", 10, 20, 0, 1, "TF", "RR"),
        ("HC-4", 10, 20, 0, 1, "TFF", "RRF"),
        ("HC-6", 10, 20, 0, 1, "FFT", "SSR"),
        ("HC-8", 10, 0, 0, 1, "F", "F"),
        ("HC-9", 10, 15, 2, 2, "TTFFF", "SRRRF"),
        ("HC-10", 10, 15, 2, 4, "FFFFF", "SSSSF"),
        ("HC-11a", 10, 15, 1, 2, "FFFF", "SSSF"),
        ("HC-11b", 10, 15, 1, 2, "FTFF", "SSSF"),
        ("HC-11c", 10, 15, 1, 2, "TTT", "SRR"),
        ("HC-11d", 10, 15, 1, 2, "TTFF", "SRRF"),
        ("HC-12a", 10, 15, 0, 1, "FFF", "SSF"),
        ("HC-12b", 10, 15, 0, 1, "FFT", "SSR"),
        ("HC-12c", 10, 15, 0, 1, "TFF", "RRF"),
        ("HC-12d", 10, 15, 0, 1, "TTFF", "RRFF"),
        ("HC-13a: a success ends the row of failures", 10, 0, 1, 1, "TFTFTF", "RRRRRR"),
        ("HC-13b: a failure ends the row of successes", 10, 60, 0, 2, "TFTFTT", "SSSSSR"),
        ("what was healthy once is not to be so again", 10, 60, 5, 2, "TTFT", "SRRR"),
        ("the last check but one may fail", 10, 0, 9, 2, "TFTFTFTFTF", "SSSSSSSSSS"),
        ("out of checks", 10, 0, 9, 3, "TFTFTFTFTTFTTT", "SSSSSSSSSSSSSF"),
        ("no check but the first is forgiven by an interval of its length", 10, 10, 0, 1, "FF", "SF"),
        ("a part of an interval forgives a whole check", 10, 11, 0, 1, "FFF", "SSF"),
    ],
)
def test_the_table_of_answers(
    row: str, interval: float, initial: float, failures: int, successes: int, answers: str, expected: str
) -> None:
    """HC-1, HC-2, HC-3, HC-4, HC-6, HC-8, HC-9, HC-10, HC-11, HC-12 and HC-13."""
    assert states(a_check(interval, initial, failures, successes), answers) == expected


def test_what_is_unhealthy_stays_so_and_keeps_its_reason() -> None:
    check = a_check(10, 0, 0, 1)
    unhealthy = after(Checks(), check, False, "refused")
    assert unhealthy.failed
    assert unhealthy.why == "refused"
    assert after(unhealthy, check, True) is unhealthy
    assert after(unhealthy, check, False, "another reason") is unhealthy


def test_an_answer_that_changes_nothing_gives_the_same_value() -> None:
    """So that it need not be written down."""
    check = a_check(10, 20, 0, 1)
    checks = Checks()
    for _ in range(10):
        checks = after(checks, check, True)
    assert after(checks, check, True) is checks
    assert after(checks, check, False, "refused") is not checks


def test_the_last_failure_says_why_also_when_it_was_forgiven() -> None:
    check = a_check(10, 20, 1, 1)
    assert after(Checks(), check, False, "refused").why == "refused"
    assert after(after(Checks(), check, False, "refused"), check, True).why == "refused"


def test_without_an_interval_nothing_is_forgiven() -> None:
    assert states(a_check(0, 20, 0, 1), "F") == "F"
