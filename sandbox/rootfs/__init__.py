"""Root file systems from images: a reference becomes directories for overlayfs.

    image = prepare("alpine.tar", store, holder="task-7", alive=is_running)
    image.lower             # ("/.../layers/sha256-.../root", ...), topmost first, to be mounted and never written to
    image.close()           # once `alive("task-7")` is true
    release(store, "task-7")
    sweep(store, is_running)

KINDS is the table of what a reference can be, in the order in which it is recognised: by a prefix; else by what is at
the path. A layer is unpacked once and shared by all images that have it; see `store` for how that ends well whoever is
killed, and `layer` for what may be in it and why nothing of it comes to lie anywhere else.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from . import directory, docker_archive, oci_layout, registry, tarball
from .compression import expanded
from .documents import host_platform
from .image import BadImage, Budget, Config, Flaw, Image, explain, shown, within
from .kind import Asked, Found, Kind, Layer
from .layer import TRUSTED, unpack
from .section import hash_for, matched
from .store import Store
from .tar import Archive, Spent, Stream

__all__ = ["KINDS", "BadImage", "Budget", "Config", "Image", "prepare", "release", "sweep"]

KINDS: tuple[Kind, ...] = (registry.ROW, oci_layout.ROW, directory.ROW, docker_archive.ROW, tarball.ROW)

_ABOUT = "about"
_ROOT = "root"


def prepare(
    reference: str,
    store: str,
    holder: str,
    *,
    alive: Callable[[str], bool],
    limits: Budget | None = None,
    platform: str = "",
    wait: bool = False,
) -> Image:
    """The root file system that a reference names, unpacked into the directory `store` where it is not yet.

    `reference`: a path; a path and a tag, `PATH:TAG`; or either of them, or a name in a registry, with a prefix of
    KINDS. `holder`: a file name; who will use it, until `release`, or until a sweep finds that it is not `alive`.
    `platform`: as "linux/arm64", where it is not to be this machine's. `wait`: for another process that prepares for
    the same holder, until it has closed its image; else that is refused. Calls no `alive` for the holder itself before
    `close`, unless it is there already. Raises BadImage; then nothing is held, and nothing of the image stays.
    """
    if not holder or "/" in holder or "\0" in holder or holder.startswith(".") or len(os.fsencode(holder)) > 200:
        raise ValueError(f"{holder!r} cannot be a holder: it has to be the name of a file")
    budget = limits or Budget()
    try:
        with ExitStack() as stack:
            kind, name, tag = _recognised(reference)
            place = Store(store)
            found = kind.find(Asked(name, tag, platform or host_platform(), budget, place), stack)
            if found.directory:
                return Image((found.directory,), config=found.config)
            return _unpacked(found, place, holder, alive, budget, wait)
    except Flaw as flaw:
        raise BadImage(f"cannot use the image {shown(reference)}: {flaw}") from None
    except OSError as error:
        raise BadImage(f"cannot use the image {shown(reference)}: {explain(error)}") from None


def release(store: str, holder: str) -> None:
    """The holder uses nothing any more. What it used stays for the next one, until a sweep. Raises BadImage."""
    try:
        Store(store).release(holder)
    except (Flaw, OSError) as error:
        raise BadImage(f"cannot release the image of {shown(holder)}: {error}") from None


def sweep(store: str, alive: Callable[[str], bool]) -> list[str]:
    """Remove holders that are not alive, and what no holder uses, but nothing that is being made or was just given out.

    Gives the names of what is gone. Raises BadImage.
    """
    try:
        return Store(store).sweep(alive)
    except (Flaw, OSError) as error:
        raise BadImage(f"cannot sweep the store of images: {error}") from None


def _recognised(reference: str) -> tuple[Kind, str, str]:
    """The kind of a reference, its path or name, and its tag."""
    for kind in KINDS:
        for prefix in kind.prefixes:
            if reference.startswith(prefix):
                rest = reference.removeprefix(prefix)
                path, tag = _split(rest, (kind,)) if kind.is_one else (rest, "")
                return kind, path, tag
    path, tag = _split(reference, KINDS)
    for kind in KINDS:
        if kind.is_one and (kind.tagged or not tag) and kind.is_one(path):
            return kind, path, tag
    if tag:
        raise Flaw(f"{shown(path)} has only one root file system in it: leave out `:{shown(tag)}`")
    raise Flaw("it is neither a directory nor a regular file")


def _split(text: str, kinds: Sequence[Kind]) -> tuple[str, str]:
    """Path and tag: the longest path that is there."""
    if "\0" in text or not text:
        raise Flaw("it is no path")
    path, tag = text, ""
    while True:
        if os.path.lexists(path):
            return os.path.abspath(path), tag
        path, colon, last = path.rpartition(":")
        if not colon or not any(kind.tagged for kind in kinds):
            raise Flaw(
                "there is no such file or directory; an image is a directory, a tarball, an image layout or an archive "
                "by `docker save`, or, as docker://NAME, in a registry"
            )
        tag = f"{last}:{tag}" if tag else last


def _unpacked(
    found: Found, store: Store, holder: str, alive: Callable[[str], bool], budget: Budget, wait: bool
) -> Image:
    trusted = _trusted(store)
    # The topmost first. overlayfs takes no directory twice, and need not: what a layer shows and hides further down, it
    # shows and hides on top. Images have the empty layer many times.
    keys = list(dict.fromkeys(_key(layer, trusted) for layer in reversed(found.layers)))
    store.tidy()
    lease, new = store.hold(holder, [*(f"layers/{key}/{_ROOT}" for key in keys), *found.uses], alive, wait)
    try:
        spent = Spent(budget)
        opaque: set[str] = set()
        notes: list[str] = []
        for number, layer in enumerate(found.layers, 1):
            with within(f"layer {number} of {len(found.layers)} ({layer.digest})"):
                fill = _filling(layer, store, spent.copy(), trusted)
                about = _read_about(store.make("layers", _key(layer, trusted), fill))
                spent.spend(about["entries"], about["bytes"])
            if about["opaque"]:
                opaque.add(_key(layer, trusted))
            which = "" if len(found.layers) == 1 else f"layer {number}: "
            notes += [which + note for note in about["notes"]]
    except BaseException:
        try:
            if new:
                store.release(holder)
        finally:
            os.close(lease)
        raise
    links = store.at("holders", holder)
    last = next((number for number, key in enumerate(keys) if key in opaque), len(keys))
    lower = tuple(store.at("layers", key, _ROOT) for key in keys[: last + 1])
    return Image(lower, found.digest, found.config, tuple(notes), not trusted, links, lease)


def _trusted(store: Store) -> bool:
    """Whether we may write trusted attributes, as only root outside of user namespaces may: asked without doing it."""
    try:
        os.removexattr(store.path, TRUSTED)
    except OSError as error:
        return error.errno != errno.EPERM
    return True


def _key(layer: Layer, trusted: bool) -> str:
    """The same archive is unpacked differently for different users, and as a layer and not as one."""
    algorithm, _, value = layer.digest.partition(":")
    form = [word for word, is_so in (("alone", layer.alone), ("mine", not _owners())) if is_so]
    if not trusted:
        form.append("user")
    return "-".join((algorithm, value, *form))


def _owners() -> bool:
    return os.geteuid() == 0


def _filling(layer: Layer, store: Store, spent: Spent, trusted: bool) -> Callable[[str], None]:
    def fill(directory: str) -> None:
        section = layer.blob()
        hashed = hash_for(layer.digest)
        pieces = expanded(section, spent.budget, store.path, hashed if layer.alone else None)
        root = os.path.join(directory, _ROOT)
        os.mkdir(root, 0o700)
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            stream = Stream(pieces, None if layer.alone else hashed)
            archive = Archive(stream, spent, end_needed=layer.alone)
            done = unpack(archive, spent, fd, marks=not layer.alone, owners=_owners(), trusted=trusted)
            stream.drain()
        finally:
            pieces.close()
            os.close(fd)
        matched(layer.digest, hashed)
        with open(os.path.join(directory, _ABOUT), "w", encoding="utf-8") as file:
            json.dump({"entries": done.entries, "bytes": done.bytes, "opaque": done.opaque, "notes": done.notes}, file)

    return fill


def _read_about(path: str) -> dict[str, Any]:
    with open(os.path.join(path, _ABOUT), encoding="utf-8") as file:
        about: dict[str, Any] = json.load(file)
    return about
