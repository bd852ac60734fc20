"""Set limits of a group, read back what the kernel then holds, and take back what fails half way."""

from __future__ import annotations

import os
import time

from .controllers import CONTROLLERS
from .kernel import hand_on, others, read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.spec import Limits

    from .controllers import Controller
    from .controllers.kind import Change, Place

    #: (field of Limits, asked, got or None, why not)
    Answer = tuple[str, str, str | None, str]


class _Place:
    """What the rows may know of a group in one tree, and of this host; see `controllers.kind.Place`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def read(self, file: str) -> str:
        return read(f"{self._directory}/{file}")

    def below(self) -> list[str]:
        return [entry.name for entry in os.scandir(self._directory) if entry.is_dir(follow_symlinks=False)]

    def disk(self, where: str) -> str:
        from .disks import whole_disk

        return whole_disk(where)

    def node(self, path: str) -> str:
        from .disks import node

        return node(path)

    def schedulers(self) -> set[str]:
        from .disks import schedulers

        return schedulers()


def limit(group: Mapping[str, str], limits: Limits) -> list[Answer]:
    """Set the limits and read them back: a list of (field of Limits, asked, got or None, why not).

    For a group that is new and for one that lives: what is not asked for stays as it is, and what the kernel refuses
    keeps its value from before. Limits that the kernel only takes together (memory and swap of version 1, a quota and
    its burst) stand or fall together. An empty group: every answer says that there is none.

    Version 1 refuses a memory limit below what the group holds and cannot give back; version 2 takes it, and kills.
    """
    asked = set(limits.asked())
    answers: list[Answer] = []
    for controller in CONTROLLERS.values():
        if asked.isdisjoint(controller.fields):
            continue
        version, directory, why = _where(group, controller)
        row = controller.row()
        changes_for = row.v2 if version == 2 else row.v1
        try:
            changes = changes_for(limits, _Nowhere(row.FRESH) if why else _Place(directory))
        except (OSError, ValueError) as error:
            why = f"cannot read {directory}: {getattr(error, 'strerror', None) or error}"
            changes = changes_for(limits, _Nowhere(row.FRESH))
        made = [_made(change, directory, version, why) for change in changes]
        for attempt in range(0 if why else _TRIES):
            failed = [number for number, each in enumerate(made) if any(got is None for _, _, got, _ in each)]
            if not failed:
                break
            if not _moved(changes, failed, changes_for, limits, directory):
                if not any(changes[number].passing for number in failed):
                    break
                time.sleep(0.01 * (attempt + 1))
            for number in failed:
                made[number] = _made(changes[number], directory, version, "")
        answers += [answer for each in made for answer in each]
    return answers


#: A change that failed is tried so often again, where groups below came or went meanwhile, as those of runs do.
_TRIES = 5


def _moved(
    changes: list[Change],
    failed: list[int],
    changes_for: Callable[[Limits, Place], list[Change]],
    limits: Limits,
    directory: str,
) -> bool:
    """Whether changes that failed would be made by other writes now; then they are those."""
    try:
        now = changes_for(limits, _Place(directory))
    except (OSError, ValueError):
        return False
    if len(now) != len(changes) or all(now[number].writes == changes[number].writes for number in failed):
        return False
    for number in failed:
        changes[number] = now[number]
    return True


class _Nowhere(_Place):
    """A group that is not there, for rows to say what was asked of it."""

    def __init__(self, fresh: Mapping[str, str]) -> None:
        super().__init__("")
        self._fresh = fresh

    def read(self, file: str) -> str:
        return self._fresh.get(file.rpartition("/")[2], "")

    def below(self) -> list[str]:
        return []


def _where(group: Mapping[str, str], controller: Controller) -> tuple[int, str, str]:
    """The version that limits it, the directory, and why it cannot."""
    if controller.tree in group:
        return 1, group[controller.tree], ""
    unified = group.get("unified", "")
    if controller.name == "devices" and unified:
        return 2, unified, ""  # which takes no controller
    missing = f"this host has no {controller.name} controller for us"
    if not unified:
        return 1, "", missing
    try:
        why = _enabled(unified, controller.name)
    except OSError as error:
        why = f"cannot read {unified}: {error.strerror}"
    if why and len(group) > 1:  # version 1, whose unified tree has no controllers
        return 1, "", missing if controller.always else f"{missing}, or {_else(controller)}"
    return 2, unified, why


def _else(controller: Controller) -> str:
    if controller.name == "io":
        return "none for a leaf: version 1 limits it of whole groups"
    return "the group was made without it"


def _enabled(directory: str, controller: str) -> str:
    """Let a version 2 group have a controller that ours can hand on; why it has none."""
    if controller in read(f"{directory}/cgroup.controllers").split():
        return ""
    ours, _, below = directory.rpartition("/thermos/")
    if not ours:
        return f"{directory} has no {controller} controller"
    try:
        above = f"{ours}/thermos"
        hand_on(ours, [controller])
        hand_on(above, [controller])
        for name in below.split("/")[:-1]:
            above = f"{above}/{name}"
            hand_on(above, [controller])
    except OSError:
        pass
    if controller in read(f"{directory}/cgroup.controllers").split():
        return ""
    return _withheld(ours, controller)


def _withheld(directory: str, controller: str) -> str:
    """Why the children of the caller's own version 2 group do not have a controller."""
    if controller not in read(f"{directory}/cgroup.controllers").split():
        return f"{directory} has no {controller} controller"
    strangers = others(directory)
    if not strangers:
        return f"{directory} may not hand its {controller} controller on: cannot write its cgroup.subtree_control"
    return (
        f"{directory} holds other processes too (pid {', '.join(strangers[:3])}), and so cannot hand its {controller} "
        "controller on; start thermos in a cgroup of its own"
    )


def _made(change: Change, directory: str, version: int, why: str) -> list[Answer]:
    why = why or change.why
    place = _Place(directory)
    if not why:
        why, undo = _write_all(change, directory)
        if not why:
            try:
                return [
                    (each.field, each.asked, f"{each.got(place.read)} (cgroup v{version})", "")
                    for each in change.limits
                ]
            except (OSError, ValueError) as error:
                _take_back(directory, undo)
                why = f"cannot tell what it is: {error.strerror}" if isinstance(error, OSError) else str(error)
    return [(each.field, each.asked, None, why) for each in change.limits]


def _write_all(change: Change, directory: str) -> tuple[str, list[tuple[str, str]]]:
    """Why it failed, or "", and what takes back what was written."""
    undo: list[tuple[str, str]] = []
    for file, text in change.writes:
        try:
            back = change.undo(file, text, _before(f"{directory}/{file}"))
            _write(directory, file, text)
        except OSError as error:
            _take_back(directory, undo)
            reason = change.reasons.get(error.errno or 0)
            said = f"{os.strerror(error.errno or 0)}: {reason}" if reason else os.strerror(error.errno or 0)
            return f"cannot {_doing(file, text)} {directory}: {said}", []
        if back is not None:
            undo.append(back)
    return "", undo


def _doing(file: str, text: str) -> str:
    if file.startswith("bpf:"):
        return "attach a program to"
    return f"write {text.strip() or 'an empty line'} to {file} of"


def _before(path: str) -> str:
    try:
        return read(path)
    except OSError:
        return ""  # a file that is only written


def _write(directory: str, file: str, text: str) -> None:
    if file.startswith("bpf:"):
        from .device_program import attach

        attach(directory, text)
    else:
        write(f"{directory}/{file}", text)


def _take_back(directory: str, undo: list[tuple[str, str]]) -> None:
    for file, text in reversed(undo):
        try:
            _write(directory, file, text)
        except OSError:
            pass  # it was so a moment ago; the answer says that the change failed
