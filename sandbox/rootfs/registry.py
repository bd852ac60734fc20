"""An image of a registry. skopeo fetches it: it knows registries, their passwords and mirrors, and this host's policy.

It fetches into an image layout in the store, one for each name, so that what has not changed is not fetched again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import replace

from . import oci_layout
from .image import Flaw, shown
from .kind import Asked, Found, Kind
from .store import remove_tree

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-/:@\[\]]{0,1023}")
_PINNED = re.compile(r".*@sha256:[0-9a-f]{64}")
_TAG = "image"
_MESSAGE = re.compile(r'msg="((?:[^"\\]|\\.)*)"')  # within what skopeo's logger puts around it


def _find(asked: Asked, stack: ExitStack) -> Found:
    name = asked.name
    if not _NAME.fullmatch(name):
        raise Flaw("that is not the name of an image: it should be as docker://registry.example/name:tag")
    key = "sha256-" + hashlib.sha256(f"{name} {asked.platform}".encode()).hexdigest()
    layout = asked.store.at("fetched", key)
    # Held until the image is unpacked: nobody sweeps the layout away before its holder is written down.
    lock = stack.enter_context(asked.store.alone(f"fetched-{key}"))
    if not os.path.isdir(layout):
        making = asked.store.making("fetched", key)
        remove_tree(making)
        try:
            _fetch(name, making, asked.platform, lock)
            os.rename(making, layout)
        except BaseException:
            remove_tree(making)
            raise
    elif not _PINNED.fullmatch(name):
        _fetch(name, layout, asked.platform, lock)
    found = oci_layout.find(replace(asked, name=layout, tag=_TAG), stack)
    return replace(found, uses=(f"fetched/{key}",))


def _fetch(name: str, layout: str, platform: str, lock: int) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        raise Flaw(
            "images of registries are fetched by `skopeo`, and there is no such program here: install it, "
            "or save the image to a file (`docker save -o FILE NAME`) and give that"
        )
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    options = ["--override-os", system, "--override-arch", architecture]
    if variant:
        options += ["--override-variant", variant]
    # The program has the lock too: where we are killed, nobody takes over what it is still writing.
    done = subprocess.run(
        [skopeo, *options, "copy", "--quiet", f"docker://{name}", f"oci:{layout}:{_TAG}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=(lock,),
        check=False,
    )
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {done.returncode}"]
        message = _MESSAGE.search(lines[-1])
        said = message[1].replace('\\"', '"') if message else lines[-1]
        raise Flaw(f"skopeo could not fetch it: {shown(said, 500)}")


ROW = Kind("registry", ("docker://", "docker:"), False, None, _find)
