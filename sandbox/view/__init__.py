"""What files a sandbox sees, as steps. Pure.

First what is wanted of the host's is taken hold of, as it is. Then the root is made, or the host's made read-only.
Then everything is put in its place, parents before what is in them, so that nothing hides what is below it. At the end
what was open only to be furnished is closed.
"""

from __future__ import annotations

from sandbox import ops

from . import devices, kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.ops import Op
    from sandbox.spec import Spec

    _Place = tuple[str, int, list[Op]]  # path, rank, steps

_PRIVATE = 1 << 18
_SLAVE = 1 << 19

#: Rank of what stands at the same path: later is above.
_OWN, _HOSTS = 0, 1


def outside(spec: Spec) -> list[Op]:
    """With several ids: what is taken by who has power over the host's files, since root inside has none."""
    if spec.users is None or spec.users.alone():
        return []
    steps: list[Op] = []
    if spec.root is not None:
        above = spec.root.upper and spec.root.upper.rstrip("/").rpartition("/")[0]
        steps += [ops.take_mapped("root", path) for path in (*spec.root.lower, above) if path]
    if spec.sandbox and spec.sandbox_id_mapped:
        steps.append(ops.take_mapped("sandbox", spec.sandbox))
    for volume in spec.volumes:
        if volume.id_mapped:
            steps.append(ops.take_mapped(f"volume {volume.target}", volume.source, volume.recursive))
    return [*steps, *(op for op in _hosts(spec)[0] if op[1] not in kernel.SHARED)]


def steps(spec: Spec) -> list[Op]:
    # Slave: what the host mounts later is seen inside, and nothing inside reaches the host. Private where the root is
    # to be read-only: what comes later would not be.
    propagation = _PRIVATE if spec.read_only or spec.root else _SLAVE
    taken, places = _hosts(spec)
    sealed: list[Op] = []
    for target, size, flags in _covers(spec):
        data = "mode=1777" if size is None else f"mode=1777,size={size}"
        places.append((target, _OWN, [ops.filesystem(target, "tmpfs", target, flags, data)]))
    for path in _hidden(spec):
        places.append((path, _OWN, [ops.cover(f"hidden {path}", path)]))
        sealed.append(ops.seal(f"hidden {path}", path))
    places += [(path, _OWN, step) for path, step in [*devices.places(spec), *kernel.places(spec)]]

    placed = [op for _, _, step in _in_order(places) for op in step]
    # Of a root of its own the root alone: what was put into it is as it was asked.
    # No device of the host's is to be used by a node that somebody left elsewhere, if there is a /dev of its own.
    attributes = ops.RDONLY | (ops.NOSUID | ops.NODEV if spec.dev and spec.root is None else 0)
    closed = [ops.read_only(spec.root is None, attributes)] if spec.read_only else []
    if spec.root is None:
        return [ops.propagation(propagation), *taken, *closed, *placed, *sealed]
    root = (
        ops.directory(spec.root.lower[0])
        if spec.root.plain
        else ops.overlay(spec.root.lower, spec.root.upper, spec.root.work, spec.root.size, spec.users is not None)
    )
    return [ops.propagation(propagation), *taken, root, *placed, *closed, ops.pivot()]


def _in_order(places: list[_Place]) -> list[_Place]:
    """Parents first. And what is our own before what is the host's, but for what it lies in: a link in a root may lead
    the target of a volume into /tmp, and what came there before /tmp did would be covered."""
    own = [_names(path) for path, rank, _ in places if rank == _OWN]

    def order(place: _Place) -> tuple[bool, list[str], int]:
        path, rank, _ = place
        names = _names(path)
        return rank == _HOSTS and all(other[: len(names)] != names for other in own), names, rank

    return sorted(places, key=order)


def _hosts(spec: Spec) -> tuple[list[Op], list[_Place]]:
    """What is wanted of the host's, taken and put."""
    taken: list[Op] = []
    places: list[_Place] = []
    fresh = [*(target for target, _, _ in _covers(spec)), *_hidden(spec), *(["/dev"] if spec.dev else [])]

    def take(part: str, source: str, target: str, attributes: int, recursive: bool = True) -> None:
        taken.append(ops.take(part, source, recursive))
        places.append((target, _HOSTS, [ops.put(part, target, attributes)]))

    for path in spec.keep:
        if _is_moved(spec, path, fresh):
            take(f"keep {path}", path, path, 0)
    if spec.sandbox and (spec.sandbox_id_mapped or _is_moved(spec, spec.sandbox, fresh)):
        take("sandbox", spec.sandbox, spec.sandbox, ops.NOSUID | ops.NODEV)
    for path in spec.devices:  # it can be written: read-only are the node's owner, mode and times
        take(f"device {path}", path, path, ops.RDONLY | ops.NOSUID | ops.NOEXEC)
    for volume in spec.volumes:
        attributes = ops.NOSUID | ops.NODEV | (ops.RDONLY if volume.read_only else 0)
        take(f"volume {volume.target}", volume.source, volume.target, attributes, volume.recursive)
    return taken + kernel.taken(spec), places


def _hidden(spec: Spec) -> list[str]:
    """Directories that are empty inside, and would not be anyway."""
    if spec.root is not None:
        return []
    empty = [target for target, _, _ in _covers(spec)] + (["/dev"] if spec.dev else [])
    return [path for path in _outermost(spec.hide) if not _below(path, empty)]


def _covers(spec: Spec) -> list[tuple[str, int | None, int]]:
    """Directories in memory, of the sandbox's own: (path, size, flags)."""
    if not spec.tmp:
        return []
    flags = ops.NOSUID | ops.NODEV
    return [("/tmp", spec.tmp_size, flags), ("/var/tmp", spec.tmp_size, flags), ("/dev/shm", spec.shm_size, flags)]


def _is_moved(spec: Spec, path: str, fresh: list[str]) -> bool:
    """Whether a path of the host's would not be there as it is."""
    return spec.root is not None or spec.read_only or _below(path, fresh)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _below(path: str, directories: list[str]) -> bool:
    """Whether a path is one of these, or in one of them."""
    names = _names(path)
    return any(names[: len(_names(other))] == _names(other) for other in directories)


def _outermost(paths: tuple[str, ...]) -> list[str]:
    return [path for path in paths if not _below(path, [other for other in paths if _names(other) != _names(path)])]
