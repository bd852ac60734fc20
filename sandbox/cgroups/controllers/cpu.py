"""cpu: a share of processor time per period (CFS bandwidth control)."""

from __future__ import annotations

from .kind import Controller, Limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.spec import Limits

PERIOD = 100_000  # microseconds, the kernel's default
SMALLEST = 1_000  # microseconds, the kernel's least quota


def _cores(quota: str, period: str) -> str:
    return "no limit" if quota in ("-1", "max") else f"{int(quota) / int(period):g} cores"


def _v1(limits: Limits) -> Limit | None:
    if limits.cpu is None:
        return None

    def got(read: Callable[[str], str]) -> str:
        return _cores(read("cpu.cfs_quota_us"), read("cpu.cfs_period_us"))

    quota = max(round(limits.cpu * PERIOD), SMALLEST)
    return Limit(f"{limits.cpu:g} cores", (("cpu.cfs_period_us", str(PERIOD)), ("cpu.cfs_quota_us", str(quota))), got)


def _v2(limits: Limits) -> Limit | None:
    if limits.cpu is None:
        return None

    def got(read: Callable[[str], str]) -> str:
        quota, period = read("cpu.max").split()
        return _cores(quota, period)

    quota = max(round(limits.cpu * PERIOD), SMALLEST)
    return Limit(f"{limits.cpu:g} cores", (("cpu.max", f"{quota} {PERIOD}"),), got)


ROW = Controller("cpu", _v1, _v2)
