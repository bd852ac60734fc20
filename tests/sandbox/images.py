"""Builds the images that the tests unpack, good and bad ones, without anything of what they test."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
TIME = 1_600_000_000


class Member(tarfile.TarInfo):
    """An entry of an archive and its data."""

    data = b""


def entry(name: str, data: bytes | None = None, type: bytes = tarfile.REGTYPE, **fields: Any) -> Member:
    info = Member(name)
    info.type = type
    info.mode = 0o755 if type == tarfile.DIRTYPE else 0o644
    info.mtime = TIME
    for field, value in fields.items():
        setattr(info, field, value)
    if data is not None:
        info.size = len(data)
    info.data = data or b""
    return info


def file(name: str, data: bytes = b"x", **fields: Any) -> Member:
    return entry(name, data, **fields)


def folder(name: str, **fields: Any) -> Member:
    return entry(name, type=tarfile.DIRTYPE, **fields)


def symlink(name: str, to: str, **fields: Any) -> Member:
    return entry(name, type=tarfile.SYMTYPE, linkname=to, **fields)


def hardlink(name: str, to: str, **fields: Any) -> Member:
    return entry(name, type=tarfile.LNKTYPE, linkname=to, **fields)


def device(name: str, **fields: Any) -> Member:
    return entry(name, type=tarfile.CHRTYPE, **{"devmajor": 1, "devminor": 3, **fields})


def fifo(name: str, **fields: Any) -> Member:
    return entry(name, type=tarfile.FIFOTYPE, **fields)


def tar(*entries: Member, format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, errors="surrogateescape") as archive:
        for each in entries:
            archive.addfile(each, io.BytesIO(each.data))
    return buffer.getvalue()


def header(info: tarfile.TarInfo) -> bytes:
    """One block, without an end mark."""
    return info.tobuf(tarfile.USTAR_FORMAT)


def pax(type: bytes, body: bytes) -> bytes:
    """An extended header with any body."""
    info = tarfile.TarInfo("PaxHeader")
    info.type = type
    info.size = len(body)
    return header(info) + body + bytes(-len(body) % 512)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while len(str(length)) + len(key) + len(value) + 3 != length:
        length = len(str(length)) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


END = bytes(1024)


def gz(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def key(data: bytes) -> str:
    """The name of an uncompressed layer in a store that is root's."""
    return digest(data).replace(":", "-")


def config(layers: Sequence[bytes], settings: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": settings or {},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        **fields,
    }


class Layout:
    """An image layout that is being written; every document can be spoiled before it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifests: list[dict[str, Any]] = []
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self._index()

    def _index(self) -> None:
        document = {"schemaVersion": 2, "mediaType": f"{OCI}index.v1+json", "manifests": self.manifests}
        (self.path / "index.json").write_text(json.dumps(document))

    def blob(self, data: bytes | Mapping[str, Any], kind: str) -> dict[str, Any]:
        """Its descriptor."""
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        self.at(digest(data)).write_bytes(data)
        return {"mediaType": kind, "digest": digest(data), "size": len(data)}

    def at(self, digest: str) -> Path:
        return self.path / "blobs/sha256" / digest.removeprefix("sha256:")

    def manifest(
        self,
        layers: Sequence[bytes],
        settings: Mapping[str, Any] | None = None,
        pack: Callable[[bytes], bytes] = gz,
        kind: str = f"{OCI}layer.v1.tar+gzip",
        spoil: Callable[[dict[str, Any]], Any] = lambda manifest: None,
        **fields: Any,
    ) -> dict[str, Any]:
        """The descriptor of an image that is in no index yet."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}manifest.v1+json",
            "config": self.blob(config(layers, settings, **fields), f"{OCI}config.v1+json"),
            "layers": [self.blob(pack(layer), kind) for layer in layers],
        }
        spoil(manifest)
        return self.blob(manifest, manifest.get("mediaType", f"{OCI}manifest.v1+json"))

    def add(self, descriptor: Mapping[str, Any], name: str = "", **more: Any) -> Layout:
        annotations = {"annotations": {"org.opencontainers.image.ref.name": name}} if name else {}
        self.manifests.append({**descriptor, **annotations, **more})
        self._index()
        return self

    def image(self, *layers: bytes, name: str = "", **fields: Any) -> Layout:
        return self.add(self.manifest(layers, **fields), name)

    def archive(self, path: Path) -> Path:
        """The same files in one archive."""
        path.write_bytes(
            tar(
                *(
                    file(str(each.relative_to(self.path)), each.read_bytes())
                    for each in walk(self.path)
                    if each.is_file()
                )
            )
        )
        return path


def walk(path: Path) -> list[Path]:
    return sorted(path.rglob("*"))


def docker_archive(path: Path, images: Mapping[str, Sequence[bytes]], **settings: Any) -> Path:
    """As Docker wrote it until version 24: NAME -> layers. A layer that comes twice is a link the second time."""
    entries: list[Member] = []
    items = []
    written: dict[bytes, str] = {}
    for name, layers in images.items():
        document = json.dumps(config(layers, settings)).encode()
        config_name = digest(document).removeprefix("sha256:") + ".json"
        entries.append(file(config_name, document))
        names = []
        for number, layer in enumerate(layers):
            at = hashlib.sha256(f"{name}{number}".encode()).hexdigest()
            names.append(f"{at}/layer.tar")
            entries.append(folder(at))
            if layer in written:
                entries.append(symlink(f"{at}/layer.tar", f"../{written[layer]}"))
            else:
                entries.append(file(f"{at}/layer.tar", layer))
                written[layer] = f"{at}/layer.tar"
        items.append({"Config": config_name, "RepoTags": [name] if name else None, "Layers": names})
    entries.append(file("manifest.json", json.dumps(items).encode()))
    path.write_bytes(tar(*entries))
    return path


def tree(path: str | Path) -> dict[str, tuple[Any, ...]]:
    """What is below a directory: path -> what kind of thing, its mode and its content."""
    found: dict[str, tuple[Any, ...]] = {}
    top = os.fsencode(path)
    for directory, directories, files in os.walk(top):
        for name in (*directories, *files):
            at = os.path.join(directory, name)
            status = os.lstat(at)
            mode = status.st_mode & 0o7777
            shown = os.fsdecode(os.path.relpath(at, top))
            if os.path.islink(at):
                found[shown] = ("link", os.fsdecode(os.readlink(at)))
            elif os.path.isdir(at):
                found[shown] = ("directory", mode)
            elif os.path.isfile(at):
                with open(at, "rb") as opened:
                    found[shown] = ("file", mode, opened.read())
            else:
                found[shown] = ("device", status.st_rdev)
    return found
