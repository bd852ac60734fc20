"""What a prepared root file system is, what it may cost, and how it is said that there is none."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


class BadImage(Exception):
    """There is no root file system to be had from a reference. The message is a sentence for people."""


class Flaw(Exception):
    """Why an image cannot be used, from the innermost to the outermost: each level adds where it was."""


@contextmanager
def within(where: str) -> Generator[None, None, None]:
    """A flaw found in here was found in `where`. The system's errors become flaws."""
    try:
        yield
    except Flaw as flaw:
        raise Flaw(f"{where}: {flaw}") from None
    except OSError as error:
        raise Flaw(f"{where}: {explain(error)}") from None


def explain(error: OSError) -> str:
    """An error of the system, without the path: that is the store's, which nobody who reads it has chosen."""
    return f"{error.strerror or error}"


def shown(name: bytes | str, most: int = 160) -> str:
    """A name of somebody else's making, safe to print: no control characters, and not longer than `most`."""
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    return text if len(text) <= most else text[: most - 3] + "..."


@dataclass(frozen=True)
class Budget:
    """What an image may cost at most. Beyond any of these it is refused, and nothing of it stays.

    `bytes`: of its files, holes counted, over all its layers. `entries`: over all its layers, with the headers that
    only describe other headers. `depth`: directories in each other. `path`: bytes of a name or of where a link leads.
    `layers`: overlayfs takes 500, image builders make at most 127. `document`: bytes of a manifest or a configuration.
    `ratio`: bytes of a layer for each byte it takes compressed, of layers that have more than `ratio_from` bytes;
    gzip can do 1030, and no file system of programs comes near 100.
    """

    bytes: int = 64 << 30
    entries: int = 2_000_000
    depth: int = 128
    path: int = 4095
    layers: int = 127
    document: int = 4 << 20
    ratio: int = 200
    ratio_from: int = 256 << 20


@dataclass(frozen=True)
class Config:
    """What an image says about the processes to be run in it. Nothing of it is obeyed here.

    `env`: in its order. `cwd`: "" where it says nothing. `user`: as in the image: "name", "uid", "name:group" or "".
    `exposed_ports`: as "80/tcp". `volumes`: paths. `stop_signal`: a name or a number.
    """

    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


class Image:
    """A root file system that is ready.

    `lower`: its directories, topmost first, as overlayfs wants them. `links`: a directory in which "0", "1", ... lead
    to them: a mount that begins there stays under the 4096 bytes that mount(2) takes; "" where `lower` is a directory
    of the user's own. `digest`: of the manifest or, where there is none, of the configuration or the archive; "" for a
    directory. `userxattr`: opaque directories are marked by `user.overlay.opaque` only, so the
    mount needs the option `userxattr`; else by `trusted.overlay.opaque` too, and a mount with that option, as in a
    user namespace, does as well as one without. `notes`: sentences about what was left out or changed.

    Until `close`, or the end of this process, nobody sweeps away what it uses, even if `alive` does not know its
    holder yet.
    """

    __slots__ = ("_lease", "config", "digest", "links", "lower", "notes", "userxattr")

    def __init__(
        self,
        lower: tuple[str, ...],
        digest: str = "",
        config: Config | None = None,
        notes: tuple[str, ...] = (),
        userxattr: bool = False,
        links: str = "",
        lease: int = -1,
    ) -> None:
        self.lower = lower
        self.digest = digest
        self.config = config or Config()
        self.notes = notes
        self.userxattr = userxattr
        self.links = links
        self._lease = lease

    def close(self) -> None:
        """From here on only `alive` keeps its layers."""
        if self._lease >= 0:
            os.close(self._lease)
            self._lease = -1
