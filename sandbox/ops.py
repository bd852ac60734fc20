"""The steps a sandbox is made of, as values: the namespace it belongs to, the part it gives, its name and arguments.

Values can be printed, compared, sent to another process and tested without being root; `sandbox.spawn` is the one
loop that carries them out, in the first process of the sandbox. The part says what is missing where a step fails.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

Op: TypeAlias = "tuple[str, str, str, tuple[object, ...]]"


def unshare(namespace: str, flags: int) -> Op:
    return (namespace, namespace, "unshare", (flags,))


def mount(
    namespace: str,
    part: str,
    source: str | None,
    target: str,
    fstype: str | None = None,
    flags: int = 0,
    data: str | None = None,
) -> Op:
    return (namespace, part, "mount", (source, target, fstype, flags, data))


def sethostname(namespace: str, name: str) -> Op:
    return (namespace, "hostname", "sethostname", (name,))


def cover(namespace: str, target: str, data: str, keep: tuple[str, ...]) -> Op:
    """A fresh tmpfs over `target`, through which the directories `keep` below it are still there."""
    return (namespace, target, "cover", (target, data, keep))
