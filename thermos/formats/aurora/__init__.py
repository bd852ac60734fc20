"""`.aurora` and `.thermos` files: programs, run by pystachio in a process that may do nothing but compute.

    document = load("shop.aurora", text, "aurora", bindings, Choice(job="devel/www/test/shop"))
    document.value          # one task in our own words, for thermos.config to check
    document.aside          # what the file says beyond it: kept and shown

This process imports neither pystachio nor anything of the file's; it only hears plain data. Templates that the run
alone can fill in (`{{thermos.ports[http]}}`, `{{mesos.instance}}`) are left in the texts, and `{{&x}}` too.
"""

from __future__ import annotations

from thermos.formats.document import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .answer import Answer
    from .choice import Choice

__all__ = ["AuroraDocument", "load"]


class AuroraDocument(Document):
    """`aside`: what has no meaning for one host, or none yet, filled in and with its defaults.

    `defaults`: the paths of what the file does not say and its language does; with their parts, if they have any. Here
    and in the places, a path that begins with "aside" is one in `aside`.
    """

    __slots__ = ("defaults",)

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.task, lambda: answer.place, [], answer.aside)
        self.defaults = answer.defaults


def load(file: str, text: str, dialect: str, bindings: Mapping[str, str], choice: Choice) -> AuroraDocument:
    """`dialect`: "aurora" (a list `jobs`) or "thermos" (`export(TASK)`).

    Raises TaskFileError for a file that cannot be run, does not end, or defines what does not fit; and where the choice
    is not clear.
    """
    from .answer import checked
    from .cage import run

    return AuroraDocument(checked(file, run(file, text, dialect, bindings, choice)))
