"""The shape of a row: a kind of thing that a root file system can be had from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from .image import Budget, Config
from .section import Section
from .store import Store


@dataclass(frozen=True)
class Layer:
    """`digest`: of its uncompressed archive. `blob`: gives its bytes, compressed or not, verified as far as there is
    anything to verify them by; only called for what is not unpacked yet.

    `alone`: it is no layer but all there is, so it has no marks of what is deleted, its digest is that of the blob
    as it is, and nothing but its end mark tells whether it is whole."""

    digest: str
    blob: Callable[[], Section]
    alone: bool = False


@dataclass(frozen=True)
class Asked:
    """`name`: what follows the prefix, or the path. `tag`: which image of several; "" where nothing is said.
    `platform`: as "linux/amd64"."""

    name: str
    tag: str
    platform: str
    budget: Budget
    store: Store


@dataclass(frozen=True)
class Found:
    """`digest`: see Image. `layers`: the lowest first. `directory`: the root file system itself, which needs none.
    `uses`: other things of the store, as paths below it, that have to stay while the image is used."""

    digest: str
    config: Config
    layers: tuple[Layer, ...] = ()
    directory: str = ""
    uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """`prefixes`: with one of them a reference is of this kind, whatever it names. `tagged`: a tag may follow a path.
    `is_one`: whether what is at a path is of this kind; raises OSError and Flaw. None: never without a prefix.
    `find`: what it consists of; the stack closes what it has open, after the layers are unpacked. Raises Flaw."""

    name: str
    prefixes: tuple[str, ...]
    tagged: bool
    is_one: Callable[[str], bool] | None
    find: Callable[[Asked, ExitStack], Found]
