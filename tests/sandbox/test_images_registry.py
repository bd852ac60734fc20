"""Images of a registry, fetched by the real skopeo from a small registry of the test's own."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import images
import pytest
from deadline import until
from images import DOCKER, OCI, Layout, file, folder, tar

from sandbox.rootfs import BadImage, Image, prepare, release, sweep

BASE = tar(folder("etc"), file("etc/name", b"base"))
UPPER = tar(folder("etc"), file("etc/name", b"upper"))


class Registry:
    """Gives the blobs of a layout, and its manifests by tag or by digest. `asked`: the paths, in their order."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.tags: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.at = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(registry) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *arguments: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                registry.asked.append(self.path)
                *_, what, name = self.path.split("/")
                found = registry.tags.get(name) or {"digest": name, "mediaType": "application/octet-stream"}
                path = registry.layout.at(found["digest"])
                known = [each for each in registry.tags.values() if each["digest"] == name]
                there = what in ("manifests", "blobs") and path.is_file()
                self.send_response(200 if there or self.path == "/v2/" else 404)
                body = path.read_bytes() if there else b"{}"
                self.send_header("Content-Type", (known or [found])[0]["mediaType"])
                self.send_header("Docker-Content-Digest", found["digest"])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

        return Handler

    def blobs(self) -> int:
        return len([path for path in self.asked if "/blobs/" in path])


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo: apt-get install --no-install-recommends skopeo")
    registry = Registry(Layout(tmp_path / "layout"))
    settings = tmp_path / "home/.config/containers"
    settings.mkdir(parents=True)
    (settings / "registries.conf").write_text(f'[[registry]]\nlocation = "{registry.at}"\ninsecure = true\n')
    (settings / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    try:
        yield registry
    finally:
        registry.close()


def get(reference: str, tmp_path: Path, holder: str = "task", **asked: Any) -> Image:
    image = prepare(reference, str(tmp_path / "store"), holder, alive=lambda holder: True, **asked)
    image.close()
    return image


def name(image: Image) -> str:
    return (Path(image.lower[0]) / "etc/name").read_text()


def test_an_image_of_a_registry_is_fetched_and_unpacked(registry: Registry, tmp_path: Path) -> None:
    registry.tags["1"] = registry.layout.manifest([BASE, UPPER], {"Cmd": ["serve"]})
    image = get(f"docker://{registry.at}/shop:1", tmp_path)
    assert (name(image), image.config.cmd, image.digest) == ("upper", ("serve",), registry.tags["1"]["digest"])
    assert get(f"docker:{registry.at}/shop:1", tmp_path, "other").lower == image.lower


def test_an_image_in_dockers_own_format_is_too(registry: Registry, tmp_path: Path) -> None:
    def spoil(manifest: dict[str, Any]) -> None:
        manifest["mediaType"] = f"{DOCKER}distribution.manifest.v2+json"
        manifest["config"]["mediaType"] = f"{DOCKER}container.image.v1+json"

    registry.tags["1"] = registry.layout.manifest([BASE], kind=f"{DOCKER}image.rootfs.diff.tar.gzip", spoil=spoil)
    assert name(get(f"docker://{registry.at}/shop:1", tmp_path)) == "base"


def test_the_platform_is_chosen_by_the_registrys_index(registry: Registry, tmp_path: Path) -> None:
    layout = registry.layout
    manifests = [
        {
            **layout.manifest([layer], architecture=architecture),
            "platform": {"os": "linux", "architecture": architecture},
        }
        for layer, architecture in ((UPPER, "s390x"), (BASE, images.ARCHITECTURE))
    ]
    kind = f"{OCI}index.v1+json"
    registry.tags["1"] = layout.blob({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}, kind)
    for each in manifests:
        registry.tags[each["digest"]] = each
    assert name(get(f"docker://{registry.at}/shop:1", tmp_path)) == "base"
    assert name(get(f"docker://{registry.at}/shop:1", tmp_path, "other", platform="linux/s390x")) == "upper"


def test_what_has_not_changed_is_not_fetched_again(registry: Registry, tmp_path: Path) -> None:
    reference = f"docker://{registry.at}/shop:1"
    registry.tags["1"] = registry.layout.manifest([BASE])
    get(reference, tmp_path)
    before = registry.blobs()
    assert name(get(reference, tmp_path, "again")) == "base"
    assert registry.blobs() - before <= 1  # the configuration, not the layer
    registry.tags["1"] = registry.layout.manifest([BASE, UPPER])
    assert name(get(reference, tmp_path, "newer")) == "upper"
    registry.asked.clear()
    pinned = f"docker://{registry.at}/shop@{registry.tags['1']['digest']}"
    assert name(get(pinned, tmp_path, "pinned")) == "upper"
    assert registry.asked
    registry.asked.clear()
    assert name(get(pinned, tmp_path, "pinned-again")) == "upper"
    assert registry.asked == []


def test_what_was_fetched_goes_with_its_last_holder(registry: Registry, tmp_path: Path) -> None:
    store = tmp_path / "store"
    registry.tags["1"] = registry.layout.manifest([BASE])
    get(f"docker://{registry.at}/shop:1", tmp_path)
    assert sweep(str(store), lambda holder: True) == []
    assert len(os.listdir(store / "fetched")) == 1
    release(str(store), "task")
    sweep(str(store), lambda holder: True)
    assert [os.listdir(store / kind) for kind in ("fetched", "layers", "holders", "locks")] == [[], [], [], []]


def test_two_runs_do_not_fetch_the_same_at_once(registry: Registry, tmp_path: Path) -> None:
    registry.tags["1"] = registry.layout.manifest([BASE])
    get(f"docker://{registry.at}/shop:1", tmp_path)
    registry.asked.clear()
    store = tmp_path / "store"
    fd = os.open(store / "locks" / f"fetched-{os.listdir(store / 'fetched')[0]}", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    code = "import sys; from sandbox.rootfs import prepare; prepare(*sys.argv[1:], alive=lambda holder: True)"
    argv = [sys.executable, "-c", code, f"docker://{registry.at}/shop:1", str(store), "second"]
    with subprocess.Popen(argv) as second:
        waiting = re.compile(rf"-> FLOCK +ADVISORY +WRITE +{second.pid} ")
        try:
            until(lambda: waiting.search(Path("/proc/locks").read_text()), "it does not wait")
            assert registry.asked == []
        finally:
            os.close(fd)
        assert second.wait(60) == 0
    assert registry.asked


def test_what_the_registry_says_is_passed_on_and_nothing_stays(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=r"skopeo could not fetch it: .*manifest") as raised:
        get(f"docker://{registry.at}/shop:none", tmp_path)
    assert str(raised.value).startswith(f"cannot use the image docker://{registry.at}/shop:none: ")
    assert "level=fatal" not in str(raised.value)
    registry.tags["1"] = registry.layout.manifest([BASE])
    manifest = json.loads(registry.layout.at(registry.tags["1"]["digest"]).read_text())
    registry.layout.at(manifest["layers"][0]["digest"]).write_bytes(b"other")
    with pytest.raises(BadImage, match="skopeo could not fetch it"):
        get(f"docker://{registry.at}/shop:1", tmp_path)
    store = tmp_path / "store"
    assert [os.listdir(store / kind) for kind in ("fetched", "layers", "holders", "locks")] == [[], [], [], []]


def test_without_skopeo_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadImage, match=r"there is no such program here: install it, or save the image to a file"):
        get("docker://alpine:3.19", tmp_path)


@pytest.mark.parametrize("bad", ["", "-rf", "a b", "a\nb", "--help", "//x", "ä"])
def test_what_is_no_name_is_not_asked_for(tmp_path: Path, bad: str) -> None:
    with pytest.raises(BadImage, match="that is not the name of an image"):
        get(f"docker://{bad}", tmp_path)


def test_what_skopeo_writes_is_read_whatever_the_format(registry: Registry, tmp_path: Path) -> None:
    docker = images.docker_archive(tmp_path / "docker.tar", {"shop:1": [BASE, UPPER]}, Cmd=["serve"])

    def copy(source: object, to: str) -> str:
        policy = tmp_path / "home/.config/containers/policy.json"
        subprocess.run(["skopeo", f"--policy={policy}", "copy", "-q", str(source), to], check=True)
        return to

    layout = copy(f"docker-archive:{docker}", f"oci:{tmp_path}/oci:1")
    directory = copy(layout, f"dir:{tmp_path}/dir")
    written = [
        layout,
        copy(directory, f"oci-archive:{tmp_path}/oci.tar:1"),
        copy(directory, f"docker-archive:{tmp_path}/again.tar:shop:1"),
    ]
    for number, reference in enumerate([docker, *written, *(each.partition(":")[2] for each in written)]):
        image = get(str(reference), tmp_path, f"task-{number}")
        assert (name(image), image.config.cmd, len(image.lower)) == ("upper", ("serve",), 2)
