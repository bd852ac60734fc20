"""A tar archive with images in it, as `docker save`, `podman save` and `skopeo copy` write them.

manifest.json says which configuration and layers an image has. Docker wrote it alone until version 24, beside an OCI
image layout since; an archive with only the layout is read as one. Nothing of the archive is unpacked but layers.
"""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack

import msgspec

from . import documents
from .compression import compressed, expanded
from .image import Budget, Flaw, shown, within
from .kind import Asked, Found, Kind
from .section import Section, open_file
from .tar import Archive, Cursor, Entry, Spent, Stream, Type

_LINKS = 8  # from one to the next: Docker links a layer that comes twice to where it came first
_LOOK = 32  # entries in which an archive of images shows itself
_LOOK_BYTES = 1 << 20  # of an entry on the way; what follows a larger one is not looked at in a compressed archive
_LOOK_PACKED = 8 << 20  # bytes of a compressed archive
_OF_AN_IMAGE = re.compile(
    r"(manifest\.json|index\.json|oci-layout|(sha256:)?[0-9a-f]{64}[^/]*(/.*)?|blobs/sha256(/.*)?)"
)
_HASH = re.compile(r"(?:blobs/sha256/|sha256:)?([0-9a-f]{64})(?:\.json)?")


class _Item(msgspec.Struct, rename="pascal"):
    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


class _Members:
    """The files of an archive by name; of several with one name, the last."""

    def __init__(self, section: Section, budget: Budget) -> None:
        self._section = section
        self._files: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        cursor = Cursor(section)
        for entry in Archive(cursor, Spent(budget), end_needed=True):
            name = _name(entry)
            self._files.pop(name, None)
            self._links.pop(name, None)
            if entry.type is Type.FILE and entry.pieces is None:
                self._files[name] = (cursor.position, entry.size)
            elif entry.type in (Type.SYMLINK, Type.HARDLINK):
                link = entry.link.decode("utf-8", "surrogateescape")
                start = posixpath.dirname(name) if entry.type is Type.SYMLINK else ""
                self._links[name] = posixpath.normpath(posixpath.join(start, link))

    def has(self, name: str) -> bool:
        return name in self._files

    def find(self, name: str) -> Section:
        at = posixpath.normpath(name)
        for _ in range(_LINKS):
            if at in self._files:
                start, size = self._files[at]
                return Section(self._section.fd, self._section.start + start, size)
            if at not in self._links:
                break
            at = self._links[at]
        raise Flaw(f"there is no file {shown(name)}")


def _name(entry: Entry) -> str:
    return b"/".join(entry.parts).decode("utf-8", "surrogateescape")


def _is_one(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    fd = open_file(path)
    try:
        section = Section(fd, 0, os.fstat(fd).st_size)
        packed = compressed(section)
        if packed:  # by zstd, what is looked at has to be copied
            section = Section(fd, 0, min(section.size, _LOOK_PACKED))
        budget = Budget()
        pieces = expanded(section, budget, tempfile.gettempdir()) if packed else None
        try:
            for count, entry in enumerate(Archive(Stream(pieces) if pieces else Cursor(section), Spent(budget))):
                if _OF_AN_IMAGE.fullmatch(_name(entry)):
                    return True
                if count >= _LOOK or (packed and entry.size > _LOOK_BYTES):
                    return False
        finally:
            if pieces:
                pieces.close()
    except Flaw:
        return False  # whatever is wrong with it is said of a tarball
    finally:
        os.close(fd)
    return False


def _uncompressed(section: Section, asked: Asked, stack: ExitStack) -> Section:
    if not compressed(section):
        return section
    spent = 0
    copy = stack.enter_context(tempfile.TemporaryFile(dir=asked.store.path))  # noqa: SIM115
    for piece in expanded(section, asked.budget, asked.store.path):
        spent += len(piece)
        if spent > asked.budget.bytes:
            raise Flaw(f"it expands to more than {asked.budget.bytes} bytes, the most that an image may have")
        copy.write(piece)
    copy.flush()
    return Section(copy.fileno(), 0, spent)


def _find(asked: Asked, stack: ExitStack) -> Found:
    fd = open_file(asked.name)
    stack.callback(os.close, fd)
    members = _Members(_uncompressed(Section(fd, 0, os.fstat(fd).st_size), asked, stack), asked.budget)
    if not members.has("manifest.json"):
        if not members.has("index.json"):
            raise Flaw("it has neither manifest.json nor index.json: make it anew, with `docker save` or `skopeo copy`")
        return Found(*documents.layout(members, asked.tag, asked.platform, asked.budget))
    with within("manifest.json"):
        items = documents.decoded(members.find("manifest.json").document(asked.budget.document), list[_Item])
        item = _choose(items, asked.tag)
    with within(f"configuration {shown(item.config, 90)}"):
        section = _verified(members, item.config)
        digest = section.digest()
        config, diff_ids = documents.configuration(section.document(asked.budget.document), asked.platform)
        blobs = [_blob_of(members, name) for name in item.layers]
        return Found(digest, config, documents.paired(diff_ids, blobs, asked.budget))


def _blob_of(members: _Members, name: str) -> Callable[[], Section]:
    return lambda: _verified(members, name)


def _verified(members: _Members, name: str) -> Section:
    """A file whose name may say what it must contain; a layer's archive has its digest in the configuration besides."""
    section = members.find(name)
    digest = _HASH.fullmatch(name)
    return section.verify(f"sha256:{digest[1]}") if digest else section


def _choose(items: list[_Item], tag: str) -> _Item:
    there = [name for item in items for name in item.repo_tags or ()]
    called = f"there is {shown(', '.join(there))}" if there else "none in it has a name"
    if tag:
        for item in items:
            if _full(tag) in [_full(name) for name in item.repo_tags or ()]:
                return item
        raise Flaw(f"no image in it is called {shown(tag)}; {called}")
    if len(items) != 1:
        raise Flaw(f"{len(items) or 'no'} images are in it: name one, as PATH:NAME; {called}")
    return items[0]


def _full(name: str) -> str:
    """As Docker completes what people leave out."""
    name = name.removeprefix("docker.io/").removeprefix("library/")
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


ROW = Kind("archive of images", ("docker-archive:", "oci-archive:"), True, _is_one, _find)
