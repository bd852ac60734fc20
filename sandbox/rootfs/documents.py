"""The documents of an image: index, manifest and configuration, as OCI and Docker write them.

Docker's manifest of version 2 and OCI's differ in their media types only. What an image says of itself is checked
against what its digests say; a document that is not of the shape that is read here is refused with the field's path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from .image import Budget, Config, Flaw, shown, within
from .kind import Layer
from .section import Files, Section, checked_digest

_NESTED = 4  # indexes in an index: builders make one or two

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_OCI_LAYER = "application/vnd.oci.image.layer."
LAYERS = (
    *(
        f"{_OCI_LAYER}{kind}tar{suffix}"
        for kind in ("v1.", "nondistributable.v1.")
        for suffix in ("", "+gzip", "+zstd")
    ),
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
)

#: Where an index says what an image is called: OCI's own, and the whole name as containerd and Docker write it.
_NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name")

#: By what uname(2) calls the machine: architecture and variants as images have them, the best one first.
_PLATFORMS = {
    "x86_64": ("amd64", ("", "v1")),
    "aarch64": ("arm64", ("", "v8")),
    "armv7l": ("arm", ("v7", "v6", "v5", "")),
    "armv6l": ("arm", ("v6", "v5", "")),
    "i686": ("386", ("",)),
    "ppc64le": ("ppc64le", ("",)),
    "s390x": ("s390x", ("",)),
    "riscv64": ("riscv64", ("",)),
    "loongarch64": ("loong64", ("",)),
}

T = TypeVar("T")


class _Platform(msgspec.Struct):
    architecture: str = ""
    os: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(shown(part, 30) for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(msgspec.Struct, rename="camel"):
    digest: str
    size: int
    media_type: str = ""
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None

    def names(self) -> list[str]:
        return [name for key in _NAMES if (name := (self.annotations or {}).get(key))]


class _Index(msgspec.Struct):
    manifests: list[Descriptor]


class _Manifest(msgspec.Struct):
    config: Descriptor
    layers: list[Descriptor]


class _Either(msgspec.Struct, rename="camel"):
    """What tells an index from a manifest, where no media type does."""

    schema_version: int = 2
    media_type: str = ""
    manifests: list[Any] | None = None


class _Settings(msgspec.Struct, rename="pascal"):
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    working_dir: str | None = None
    user: str | None = None
    exposed_ports: dict[str, Any] | None = None
    volumes: dict[str, Any] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None


class _RootFs(msgspec.Struct):
    diff_ids: list[str]


class _Configuration(msgspec.Struct):
    rootfs: _RootFs
    architecture: str = ""
    os: str = ""
    variant: str = ""
    config: _Settings | None = None


def decoded(data: bytes, shape: type[T]) -> T:
    """A JSON document. Raises Flaw where it is none, or not of the shape."""
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Flaw(f"it is not the document that it should be: {shown(str(error))}") from None
    except RecursionError:
        raise Flaw("it is not the document that it should be: it is nested too deep") from None


def host_platform() -> str:
    """Of this machine, as images write it: linux/amd64."""
    machine = os.uname().machine
    architecture, variants = _PLATFORMS.get(machine, (machine, ("",)))
    return "/".join(part for part in ("linux", architecture, variants[0]) if part)


def _wanted(platform: str) -> list[_Platform]:
    """The platforms whose programs run on one, the best first."""
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    known = next((variants for name, variants in _PLATFORMS.values() if name == architecture), ("",))
    if variant:
        known = known[known.index(variant) :] if variant in known else (variant,)
    return [_Platform(architecture, system, each) for each in known]


def _choose(candidates: Sequence[Descriptor], platform: str) -> Descriptor:
    if len(candidates) == 1 and candidates[0].platform is None:
        return candidates[0]
    for wanted in _wanted(platform):
        for each in candidates:
            if each.platform == wanted:
                return each
    there = sorted({str(each.platform) if each.platform else "one that says nothing" for each in candidates})
    raise Flaw(f"it has nothing for {platform}; there is {shown(', '.join(there) or 'nothing')}")


def _named(index: _Index, name: str) -> list[Descriptor]:
    if name:
        found = [each for each in index.manifests if name in each.names()]
        if not found:
            raise Flaw(f"no image in it is called {shown(name)}; {_called(index)}")
        return found
    if len({tuple(each.names()) for each in index.manifests}) > 1:
        raise Flaw(f"several images are in it: name one, as PATH:NAME; {_called(index)}")
    return index.manifests


def _called(index: _Index) -> str:
    names = sorted({name for each in index.manifests for name in each.names()})
    return f"there is {shown(', '.join(names))}" if names else "none in it has a name"


def layout(files: Files, name: str, platform: str, budget: Budget) -> tuple[str, Config, tuple[Layer, ...]]:
    """Digest of the manifest, configuration and layers of one image of an image layout. Raises Flaw."""
    with within("index.json"):
        index = decoded(files.find("index.json").document(budget.document), _Index)
        chosen = _choose(_named(index, name), platform)
    for _ in range(_NESTED):
        with within(f"manifest {shown(chosen.digest, 80)}"):
            data = _blob(files, chosen).document(budget.document)
            says = decoded(data, _Either)
            kind = chosen.media_type or says.media_type
            if kind in INDEXES or (not kind and says.manifests is not None):
                chosen = _choose(decoded(data, _Index).manifests, platform)
                continue
            if (kind and kind not in MANIFESTS) or says.schema_version != 2:
                raise Flaw(f"it is of a kind that is not known here, {shown(kind) or 'version 1'}")
            manifest = decoded(data, _Manifest)
            if manifest.config.media_type and manifest.config.media_type not in CONFIGS:
                raise Flaw(f"it is not of a container image: its configuration is {shown(manifest.config.media_type)}")
        with within(f"configuration {manifest.config.digest}"):
            section = _blob(files, manifest.config)
            config, diff_ids = configuration(section.document(budget.document), platform)
        with within(f"manifest {chosen.digest}"):
            for each in manifest.layers:
                _check_layer(each)
            blobs = [_blob_of(files, each) for each in manifest.layers]
            return chosen.digest, config, paired(diff_ids, blobs, budget)
    raise Flaw(f"it has indexes in indexes, more than {_NESTED} deep")


def _check_layer(layer: Descriptor) -> None:
    if layer.media_type.endswith("+encrypted"):
        raise Flaw(f"layer {shown(layer.digest, 80)} is encrypted: decrypt the image first, as `skopeo copy` can")
    if layer.media_type not in LAYERS:
        raise Flaw(f"layer {shown(layer.digest, 80)} is of a kind that is not known here, {shown(layer.media_type)}")


def _blob_of(files: Files, descriptor: Descriptor) -> Callable[[], Section]:
    return lambda: _blob(files, descriptor)


def _blob(files: Files, descriptor: Descriptor) -> Section:
    algorithm, _, value = checked_digest(descriptor.digest).partition(":")
    return files.find(f"blobs/{algorithm}/{value}").verify(descriptor.digest, descriptor.size)


def paired(diff_ids: Sequence[str], blobs: Sequence[Callable[[], Section]], budget: Budget) -> tuple[Layer, ...]:
    """The layers, the lowest first. `blobs`: each gives the verified blob when it is needed."""
    if len(diff_ids) != len(blobs):
        raise Flaw(f"it has {len(blobs)} layers, and its configuration speaks of {len(diff_ids)}")
    if len(blobs) > budget.layers:
        raise Flaw(f"it has {len(blobs)} layers, and more than {budget.layers} are not allowed")
    if not blobs:
        raise Flaw("it has no layers, so there is nothing to run in")
    return tuple(Layer(checked_digest(diff_id), blob) for diff_id, blob in zip(diff_ids, blobs, strict=True))


def configuration(data: bytes, platform: str) -> tuple[Config, list[str]]:
    """What an image says about processes, and the digests of its uncompressed layers. Raises Flaw."""
    found = decoded(data, _Configuration)
    runs = [(each.os, each.architecture) for each in _wanted(platform)]
    if (found.os or "linux", found.architecture or runs[0][1]) not in runs:
        said = _Platform(found.architecture, found.os, found.variant)
        raise Flaw(f"its programs are for {said}, and this machine is {platform}: get the image for this one")
    settings = found.config or _Settings()
    env: dict[str, str] = {}
    for each in settings.env or ():
        name, is_there, value = each.partition("=")
        if not name or not is_there:
            raise Flaw(f"its environment has {json.dumps(shown(each))}, which is not NAME=VALUE")
        env[name] = value
    config = Config(
        env=env,
        cwd=settings.working_dir or "",
        entrypoint=tuple(settings.entrypoint or ()),
        cmd=tuple(settings.cmd or ()),
        user=settings.user or "",
        exposed_ports=tuple(sorted(settings.exposed_ports or ())),
        volumes=tuple(sorted(settings.volumes or ())),
        stop_signal=settings.stop_signal or "",
        labels=settings.labels or {},
    )
    if config.cwd and not config.cwd.startswith("/"):
        raise Flaw(f"its working directory is {shown(config.cwd)}, which is not a path from the root")
    texts = (config.cwd, config.user, config.stop_signal, *config.entrypoint, *config.cmd, *env, *env.values())
    if any("\0" in text for text in texts):
        raise Flaw("its settings for processes have a zero character in them, which no process can be given")
    return config, found.rootfs.diff_ids
