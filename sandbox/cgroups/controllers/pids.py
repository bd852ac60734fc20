"""pids: how many processes and threads there may be; fork fails with EAGAIN beyond."""

from __future__ import annotations

from .kind import Change, Figure, Limit, keyed, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.spec import Limits

    from .kind import Place, Read

#: Of both versions.
MAX, CURRENT, PEAK, EVENTS = "pids.max", "pids.current", "pids.peak", "pids.events"


def _shown(text: str) -> str:
    return "no limit" if text == "max" else text


def v1(limits: Limits, place: Place) -> list[Change]:
    if limits.pids is None:
        return []
    text = "max" if limits.pids < 0 else str(limits.pids)

    def got(read: Read) -> str:
        return _shown(read(MAX))

    return [Change([Limit("pids", _shown(text), got)], [(MAX, text)])]


v2 = v1  # the files and their words are the same

FRESH: dict[str, str] = {}

FIGURES = (
    Figure("pids", "pids", CURRENT, whole),
    Figure("pids", "unified", CURRENT, whole),
    Figure("pids_peak", "pids", PEAK, whole),
    Figure("pids_peak", "unified", PEAK, whole),
    Figure("pids_refused", "pids", EVENTS, keyed("max")),
    Figure("pids_refused", "unified", EVENTS, keyed("max")),
)
