"""Which image is found in a directory or an archive, and that its bytes are those that its digests promise."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import images
import pytest
from images import DOCKER, OCI, Layout, docker_archive, file, folder, tar

from sandbox.rootfs import KINDS, BadImage, Budget, Image, prepare
from sandbox.rootfs.documents import host_platform

BASE = tar(folder("etc"), file("etc/name", b"base"))
UPPER = tar(folder("etc"), file("etc/name", b"upper"))
OTHER = tar(folder("etc"), file("etc/name", b"other"))

Prepare = Callable[..., Image]


@pytest.fixture
def get(tmp_path: Path) -> Prepare:
    def get(reference: object, **asked: Any) -> Image:
        image = prepare(str(reference), str(tmp_path / "store"), "task", alive=lambda holder: False, **asked)
        image.close()
        return image

    return get


def name(image: Image) -> str:
    return (Path(image.lower[0]) / "etc/name").read_text()


def refused(get: Prepare, reference: object, saying: str, **asked: Any) -> str:
    with pytest.raises(BadImage, match=saying) as raised:
        get(reference, **asked)
    said = str(raised.value)
    assert said.startswith(f"cannot use the image {reference}: ")
    assert said.isprintable()
    return said


# ---- what a reference is


def test_a_directory_is_used_as_it_is_and_nothing_is_kept(get: Prepare, tmp_path: Path) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    for reference in (tmp_path / "root", f"directory:{tmp_path}/root"):
        image = get(reference)
        assert (image.lower, image.digest, image.links) == ((str(tmp_path / "root"),), "", "")
    assert images.tree(tmp_path / "root") == {"etc": ("directory", 0o755)}
    assert list((tmp_path / "store/holders").iterdir()) == []
    refused(get, "directory:/", "it is the root of this machine")


def test_each_kind_is_recognised_by_what_is_there(get: Prepare, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout").image(BASE)
    (tmp_path / "root.tar").write_bytes(BASE)
    assert name(get(layout.path)) == "base"
    assert name(get(layout.archive(tmp_path / "oci.tar"))) == "base"
    assert name(get(docker_archive(tmp_path / "docker.tar", {"": [BASE]}))) == "base"
    for packed in ("oci.tar", "docker.tar"):
        for pack in (images.gz, images.zstd):
            (tmp_path / "packed").write_bytes(pack((tmp_path / packed).read_bytes()))
            assert name(get(tmp_path / "packed")) == "base"
    assert name(get(tmp_path / "root.tar")) == "base"
    assert [kind.name for kind in KINDS][-1] == "tarball"


def test_a_prefix_says_what_it_is_whatever_it_looks_like(get: Prepare, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout").image(BASE)
    archive = docker_archive(tmp_path / "docker.tar", {"": [BASE]})
    assert get(f"directory:{layout.path}").lower == (str(layout.path),)
    assert (Path(get(f"tarball:{archive}").lower[0]) / "manifest.json").is_file()
    refused(get, f"oci:{archive}", "Not a directory")
    refused(get, f"docker-archive:{layout.path}", "not a regular file")
    refused(get, f"tarball:{layout.path}", "not a regular file")
    (tmp_path / "root.tar").write_bytes(BASE)
    refused(get, f"docker-archive:{tmp_path}/root.tar", "neither manifest.json nor index.json")


def test_what_is_nothing_is_refused_with_what_it_could_be(get: Prepare, tmp_path: Path) -> None:
    assert "as docker://NAME" in refused(get, "alpine:3.19", "there is no such file or directory")
    refused(get, tmp_path / "none", "there is no such file or directory")
    (tmp_path / "dangling").symlink_to("none")
    refused(get, tmp_path / "dangling", "neither a directory nor a regular file")
    os.mkfifo(tmp_path / "fifo")
    refused(get, tmp_path / "fifo", "neither a directory nor a regular file")
    refused(get, f"tarball:{tmp_path}/fifo", "not a regular file")
    (tmp_path / "root.tar").write_bytes(BASE)
    refused(get, f"{tmp_path}/root.tar:tag", "has only one root file system in it: leave out `:tag`")
    refused(get, f"tarball:{tmp_path}/root.tar:tag", "there is no such file")
    (tmp_path / "text").write_text("hello")
    refused(get, tmp_path / "text", "cut short")
    with pytest.raises(BadImage, match="it is no path"):
        get("")
    with pytest.raises(BadImage, match=r"image a\\x00b: it is no path"):
        get("a\0b")


def test_a_path_may_have_colons_and_be_relative(get: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Layout(tmp_path / "a:b").image(BASE, name="base").image(OTHER, name="c:d")
    monkeypatch.chdir(tmp_path)
    assert name(get("a:b:base")) == "base"
    assert name(get("oci:a:b:c:d")) == "other"
    assert get("a:b:base").lower[0].startswith("/")


@pytest.mark.parametrize("holder", ["", ".", "..", "a/b", "a\0b", ".x", "x" * 201])
def test_a_holder_is_a_name(tmp_path: Path, holder: str) -> None:
    with pytest.raises(ValueError, match="cannot be a holder"):
        prepare(str(tmp_path), str(tmp_path / "store"), holder, alive=bool)


# ---- one image of several


def test_layers_are_given_topmost_first_with_short_links_to_them(get: Prepare, tmp_path: Path) -> None:
    image = get(Layout(tmp_path / "layout").image(BASE, UPPER).path)
    assert image.lower == tuple(f"{tmp_path}/store/layers/{images.key(layer)}/root" for layer in (UPPER, BASE))
    assert [os.path.realpath(f"{image.links}/{number}") for number in (0, 1)] == list(image.lower)


def test_an_image_is_chosen_by_its_name(get: Prepare, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout").image(BASE, name="base").image(OTHER, name="other")
    layout.add(layout.manifest([UPPER]), annotations={"io.containerd.image.name": "docker.io/library/upper:1"})
    for reference in (layout.path, layout.archive(tmp_path / "oci.tar")):
        assert name(get(f"{reference}:base")) == "base"
        assert name(get(f"{reference}:other")) == "other"
        assert name(get(f"{reference}:docker.io/library/upper:1")) == "upper"
        refused(get, reference, "several images are in it: name one, as PATH:NAME; there is base, docker.io/lib")
        refused(get, f"{reference}:none", "no image in it is called none; there is base, docker.io/lib")


def test_an_image_of_docker_is_chosen_by_its_tag(get: Prepare, tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "d.tar", {"shop:1": [BASE], "shop:latest": [BASE, UPPER], "r.io/x:2": [OTHER]})
    assert name(get(f"{archive}:shop:1")) == "base"
    assert name(get(f"{archive}:shop")) == name(get(f"{archive}:docker.io/library/shop")) == "upper"
    assert name(get(f"{archive}:r.io/x:2")) == "other"
    refused(get, archive, "3 images are in it: name one, as PATH:NAME; there is shop:1, shop:latest, r.io/x:2")
    refused(get, f"{archive}:shop:2", "no image in it is called shop:2; there is shop:1")


def test_the_image_of_this_machine_is_chosen(get: Prepare, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    foreign = layout.manifest([OTHER], architecture="s390x")
    ours = layout.manifest([BASE])
    platforms = [
        {**foreign, "platform": {"os": "linux", "architecture": "s390x"}},
        {**layout.manifest([UPPER]), "platform": {"os": "unknown", "architecture": "unknown"}},
        {**ours, "platform": {"os": "linux", "architecture": images.ARCHITECTURE}},
    ]
    docker_list = {
        "schemaVersion": 2,
        "mediaType": f"{DOCKER}distribution.manifest.list.v2+json",
        "manifests": platforms,
    }
    index = {"schemaVersion": 2, "manifests": [layout.blob(docker_list, docker_list["mediaType"])]}
    layout.add(layout.blob(index, f"{OCI}index.v1+json"))
    image = get(layout.path)
    assert (name(image), image.digest) == ("base", ours["digest"])
    assert name(get(layout.path, platform="linux/s390x")) == "other"
    refused(get, layout.path, "it has nothing for linux/mips; there is linux/", platform="linux/mips")


@pytest.mark.parametrize(
    ("platform", "there", "best"),
    [
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], 1),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm", "linux/arm/v5"], 2),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], 1),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64/v1", "windows/amd64"], 1),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v3"], 1),
        ("linux/amd64", ["linux/amd64/v3", "windows/amd64"], None),
    ],
)
def test_the_best_variant_that_runs_is_chosen(
    get: Prepare, tmp_path: Path, platform: str, there: list[str], best: int | None
) -> None:
    layout = Layout(tmp_path / "layout")
    for number, each in enumerate(there):
        fields = dict(zip(("os", "architecture", "variant"), each.split("/"), strict=False))
        image = tar(folder("etc"), file("etc/name", str(number).encode()))
        layout.add(layout.manifest([image], **{key: fields[key] for key in ("os", "architecture")}), platform=fields)
    if best is None:
        refused(get, layout.path, "it has nothing for linux/amd64", platform=platform)
    else:
        assert name(get(layout.path, platform=platform)) == str(best)


def test_an_image_for_another_machine_is_refused(get: Prepare, tmp_path: Path) -> None:
    foreign = Layout(tmp_path / "foreign").image(BASE, architecture="s390x")
    said = refused(get, foreign.path, "its programs are for linux/s390x, and this machine is ")
    assert said.endswith(f"{host_platform()}: get the image for this one")
    refused(get, Layout(tmp_path / "w").image(BASE, os="windows").path, "its programs are for windows/")


# ---- what an image says about processes


def test_the_configuration_is_given_as_it_is(get: Prepare, tmp_path: Path) -> None:
    settings = {
        "Env": ["PATH=/bin", "EMPTY=", "EQUALS=a=b"],
        "Entrypoint": ["/init", "--"],
        "Cmd": ["serve"],
        "WorkingDir": "/srv",
        "User": "web:staff",
        "ExposedPorts": {"8080/tcp": {}, "53/udp": {}},
        "Volumes": {"/data": {}},
        "StopSignal": "SIGQUIT",
        "Labels": {"a": "b"},
        "Unknown": [1],
    }
    for reference in (
        Layout(tmp_path / "layout").image(BASE, settings=settings).path,
        docker_archive(tmp_path / "d.tar", {"": [BASE]}, **settings),
    ):
        config = get(reference).config
        assert dict(config.env) == {"PATH": "/bin", "EMPTY": "", "EQUALS": "a=b"}
        assert (config.entrypoint, config.cmd, config.cwd) == (("/init", "--"), ("serve",), "/srv")
        assert (config.user, config.exposed_ports, config.volumes) == ("web:staff", ("53/udp", "8080/tcp"), ("/data",))
        assert (config.stop_signal, config.labels) == ("SIGQUIT", {"a": "b"})
    nothing = dict.fromkeys(settings)
    assert get(Layout(tmp_path / "nothing").image(BASE, settings=nothing).path).config.cmd == ()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"Env": ["PATH"]}, 'its environment has "PATH", which is not NAME=VALUE'),
        ({"Env": ["=x"]}, "which is not NAME=VALUE"),
        ({"Env": ["A=b\0c"]}, "a zero character"),
        ({"Cmd": ["a\0"]}, "a zero character"),
        ({"Cmd": "sh"}, r"Expected `array | null`, got `str` - at `\$.config.Cmd`"),
        ({"User": 5}, r"at `\$.config.User`"),
        ({"WorkingDir": "srv"}, "its working directory is srv, which is not a path from the root"),
    ],
)
def test_a_configuration_that_no_process_can_have_is_refused(
    get: Prepare, tmp_path: Path, settings: dict[str, Any], why: str
) -> None:
    refused(get, Layout(tmp_path / "layout").image(BASE, settings=settings).path, why)


# ---- digests, sizes and kinds


def spoiled(tmp_path: Path, spoil: Callable[[dict[str, Any]], Any], **fields: Any) -> Path:
    return Layout(tmp_path / "layout").image(BASE, spoil=spoil, **fields).path


def test_bytes_that_are_not_those_of_their_digest_are_refused(get: Prepare, tmp_path: Path) -> None:
    layer, changed = images.gz(BASE), images.gz(OTHER)
    layer, changed = (each.ljust(max(len(layer), len(changed)), b"\0") for each in (layer, changed))
    for number, what in enumerate(("layer", "config", "manifest")):
        layout = Layout(tmp_path / str(number))
        manifest = layout.manifest([BASE], pack=lambda data: layer)
        layout.add(manifest)
        config = json.loads(layout.at(manifest["digest"]).read_text())["config"]["digest"]
        spoil = {"layer": images.digest(layer), "config": config, "manifest": manifest["digest"]}[what]
        before = layout.at(spoil).read_bytes()
        layout.at(spoil).write_bytes(
            changed if what == "layer" else before.replace(b"linux", b"Linux").replace(b"2", b"3")
        )
        refused(
            get, layout.path, f"{what if what != 'config' else 'configuration'} .*its content is not what its digest"
        )
        layout.at(spoil).write_bytes(before[:-1])
        refused(get, layout.path, "bytes where .* were promised: it was cut short or changed")
        layout.at(spoil).unlink()
        refused(get, layout.path, "there is no file blobs/sha256/")
        layout.at(spoil).write_bytes(before)
        assert name(get(layout.path)) == "base"


def test_a_layer_that_is_not_the_one_of_the_configuration_is_refused(get: Prepare, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    layout.image(
        BASE, spoil=lambda manifest: manifest.update(layers=[layout.blob(images.gz(OTHER), f"{OCI}layer.v1.tar+gzip")])
    )
    refused(get, layout.path, "layer 1 of 1 .*: its content is not what its digest")
    assert list((tmp_path / "store/layers").iterdir()) == []
    archive = docker_archive(tmp_path / "d.tar", {"": [BASE]})
    archive.write_bytes(archive.read_bytes().replace(b"base", b"BASE"))
    refused(get, archive, "layer 1 of 1 .*: its content is not what its digest")


def test_what_follows_the_end_mark_belongs_to_a_layer(get: Prepare, tmp_path: Path) -> None:
    layer = BASE + b"trailing"
    assert name(get(Layout(tmp_path / "layout").image(layer).path)) == "base"
    assert get(Layout(tmp_path / "other").image(layer).path).lower[0].endswith(f"{images.key(layer)}/root")


@pytest.mark.parametrize("pack", [images.gz, images.zstd, bytes])
@pytest.mark.parametrize(
    "kind", [f"{OCI}layer.v1.tar", f"{OCI}layer.v1.tar+zstd", f"{DOCKER}image.rootfs.diff.tar.gzip"]
)
def test_layers_are_unpacked_however_they_are_compressed(
    get: Prepare, tmp_path: Path, kind: str, pack: Callable[[bytes], bytes]
) -> None:
    layout = Layout(tmp_path / "layout").image(BASE, kind=kind, pack=pack)
    assert name(get(layout.path)) == name(get(layout.archive(tmp_path / "oci.tar"))) == "base"


def test_without_zstd_an_image_that_needs_it_is_refused(
    get: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path / "layout").image(BASE, pack=images.zstd)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(get, layout.path, "there is no program `zstd` here: install it")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda m: m["layers"][0].update(mediaType="application/x"), "of a kind that is not known here, application/x"),
        (lambda m: m["layers"][0].update(mediaType=f"{OCI}layer.v1.tar+gzip+encrypted"), "is encrypted"),
        (
            lambda m: m["config"].update(mediaType="application/vnd.cncf.helm.config.v1+json"),
            "not of a container image",
        ),
        (lambda m: m.update(mediaType="text/html"), "of a kind that is not known here, text/html"),
        (lambda m: m.update(mediaType=f"{DOCKER}distribution.manifest.v1+json"), "of a kind that is not known here"),
        (lambda m: m.update(schemaVersion=1), "of a kind that is not known here"),
        (lambda m: m["layers"].clear(), "it has 0 layers, and its configuration speaks of 1"),
        (lambda m: m["layers"].append(m["layers"][0]), "it has 2 layers, and its configuration speaks of 1"),
        (lambda m: m.update(layers={}), r"Expected `array`, got `object` - at `\$.layers`"),
        (lambda m: m["layers"][0].update(size="1"), r"Expected `int`, got `str` - at `\$.layers\[0\].size`"),
        (lambda m: m["layers"][0].update(size=-1), "bytes where -1 were promised"),
        (lambda m: m["layers"][0].update(digest="md5:00"), "md5:00 is not a digest"),
        (lambda m: m["config"].update(digest="sha256:../../../../etc/passwd"), "is not a digest"),
        (lambda m: m["config"].update(digest="sha256:" + "A" * 64), "is not a digest"),
        (lambda m: m.pop("config"), "missing required field `config`"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(
    get: Prepare, tmp_path: Path, spoil: Callable[[dict[str, Any]], Any], why: str
) -> None:
    refused(get, spoiled(tmp_path, spoil), why)


def test_digests_may_be_of_sha512(get: Prepare, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")

    def spoil(manifest: dict[str, Any]) -> None:
        old = layout.at(manifest["layers"][0]["digest"])
        hexadecimal = hashlib.sha512(old.read_bytes()).hexdigest()
        (layout.path / "blobs/sha512").mkdir()
        old.rename(layout.path / "blobs/sha512" / hexadecimal)
        manifest["layers"][0]["digest"] = f"sha512:{hexadecimal}"

    layout.image(BASE, spoil=spoil)
    assert name(get(layout.path)) == "base"


# ---- documents that want to be trouble


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[" * 200_000, "nested too deep|not the document"),
        (b'{"manifests":' * 100_000, "nested too deep|not the document"),
        (b'{"manifests": []}', "it has nothing for"),
        (b'{"manifests": [' + b"9" * 5000 + b"]}", "not the document that it should be"),
        (b'{"manifests": "\xff"}', "not the document that it should be"),
        (b"", "not the document that it should be"),
        (b"{}", "missing required field `manifests`"),
        (b" " * (5 << 20), "it has 5242880 bytes, and more than 4194304 are not read"),
    ],
)
def test_an_index_that_is_trouble_is_refused(get: Prepare, tmp_path: Path, text: bytes, why: str) -> None:
    layout = Layout(tmp_path / "layout").image(BASE)
    (layout.path / "index.json").write_bytes(text)
    refused(get, layout.path, why)


def test_documents_below_the_index_may_not_be_huge_or_deep_either(get: Prepare, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "huge").image(BASE, settings={"Labels": {"a": "b" * 5000}})
    refused(get, layout.path, "configuration .*and more than 4000 are not read", limits=Budget(document=4000))
    layout = Layout(tmp_path / "deep")
    nested: Any = 1
    for _ in range(900):
        nested = [nested]
    layout.add(layout.blob(b'{"config": ' + b"[" * 100_000, f"{OCI}manifest.v1+json"))
    refused(get, layout.path, "manifest .*: it is not the document")
    layout = Layout(tmp_path / "indexes")
    inner = layout.manifest([BASE])
    for _ in range(5):
        inner = layout.blob({"schemaVersion": 2, "manifests": [inner]}, f"{OCI}index.v1+json")
    layout.add(inner)
    refused(get, layout.path, "it has indexes in indexes, more than 4 deep")


def test_an_image_may_not_have_more_layers_than_its_budget(get: Prepare, tmp_path: Path) -> None:
    layers = [tar(file(str(number))) for number in range(128)]
    refused(get, Layout(tmp_path / "many").image(*layers).path, "it has 128 layers, and more than 127 are not allowed")
    assert len(get(Layout(tmp_path / "fine").image(*layers[:127]).path).lower) == 127
    refused(get, Layout(tmp_path / "none").image().path, "it has no layers")


def test_links_in_a_layout_are_not_followed(get: Prepare, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout").image(BASE)
    blob = layout.at(images.digest(images.gz(BASE)))
    (tmp_path / "secret").write_bytes(blob.read_bytes())
    blob.unlink()
    blob.symlink_to(tmp_path / "secret")
    refused(get, layout.path, "blobs/sha256/.*: it is not a regular file|a link is in the way")
    blob.unlink()
    os.mkfifo(blob)
    refused(get, layout.path, "it is not a regular file")
    blob.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        fd = os.open(blob.parent, os.O_PATH)
        listening.bind(f"/proc/self/fd/{fd}/{blob.name}")
        os.close(fd)
    refused(get, layout.path, "it is not a regular file")
    blob.unlink()
    blob.mkdir()
    refused(get, layout.path, "it is not a regular file")
    blob.rmdir()
    (tmp_path / "secret").rename(blob)
    (layout.path / "blobs").rename(tmp_path / "blobs")
    (layout.path / "blobs").symlink_to(tmp_path / "blobs")
    refused(get, layout.path, "blobs/sha256/.*: a link is in the way")
    (layout.path / "blobs").unlink()
    (tmp_path / "blobs").rename(layout.path / "blobs")
    assert name(get(layout.path)) == "base"


# ---- archives of images


def packed(path: Path, *entries: images.Member) -> Path:
    path.write_bytes(tar(*entries))
    return path


def test_a_layer_that_comes_twice_is_found_where_it_came_first(get: Prepare, tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "d.tar", {"a:1": [BASE, UPPER], "b:1": [UPPER, BASE]})
    assert name(get(f"{archive}:a:1")) == "upper"
    assert name(get(f"{archive}:b:1")) == "base"


def test_a_configuration_of_docker_that_is_not_what_its_name_says_is_refused(get: Prepare, tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "d.tar", {"": [BASE]}, Cmd=["serve"])
    archive.write_bytes(archive.read_bytes().replace(b'["serve"]', b'["other"]'))
    refused(get, archive, "configuration .*: its content is not what its digest")


def test_both_documents_in_one_archive_are_as_docker_writes_them_now(get: Prepare, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout").image(BASE, UPPER, pack=bytes, kind=f"{OCI}layer.v1.tar", name="1")
    manifest = json.loads(layout.at(layout.manifests[0]["digest"]).read_text())
    at = [f"blobs/sha256/{each['digest'][7:]}" for each in (manifest["config"], *manifest["layers"])]
    item = {"Config": at[0], "RepoTags": ["shop:1"], "Layers": at[1:]}
    (layout.path / "manifest.json").write_text(json.dumps([item]))
    archive = layout.archive(tmp_path / "new.tar")
    whole = archive.read_bytes()
    archive.write_bytes(whole.replace(b"upper", b"UPPER"))
    refused(get, archive, "layer 2 of 2 .*: its content is not what its digest")
    archive.write_bytes(whole)
    assert name(get(f"{archive}:shop:1")) == "upper"
    assert get(archive).digest == manifest["config"]["digest"]


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (b"[]", "no images are in it"),
        (b"{}", "Expected `array`, got `object`"),
        (b'[{"Config": "a", "Layers": []}]', "there is no file a"),
        (b'[{"Config": "/etc/passwd", "Layers": []}]', "there is no file /etc/passwd"),
        (b'[{"Config": "../../etc/passwd", "Layers": []}]', "there is no file ../../etc/passwd"),
        (b'[{"Config": "link", "Layers": []}]', "there is no file link"),
        (b'[{"Config": "round", "Layers": []}]', "there is no file round"),
        (b'[{"Config": "c.json", "Layers": ["folder"]}]', "layer 1 of 1 .*: there is no file folder"),
        (b'[{"Config": "c.json", "Layers": []}]', "it has 0 layers, and its configuration speaks of 1"),
        (b"[" * 100_000, "not the document"),
    ],
)
def test_a_manifest_of_docker_that_is_trouble_is_refused(
    get: Prepare, tmp_path: Path, manifest: bytes, why: str
) -> None:
    archive = packed(
        tmp_path / "d.tar",
        file("manifest.json", manifest),
        file("c.json", json.dumps(images.config([BASE])).encode()),
        images.symlink("link", "/etc/passwd"),
        images.symlink("round", "round"),
        folder("folder"),
    )
    refused(get, archive, why)


def test_an_archive_of_images_that_was_cut_short_is_refused(get: Prepare, tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "d.tar", {"": [BASE]})
    whole = archive.read_bytes()
    for size in (len(whole.rstrip(b"\0")), len(whole) // 2, 1500):
        archive.write_bytes(whole[:size])
        refused(get, f"docker-archive:{archive}", "cut short")
    archive.write_bytes(images.gz(whole)[:-20])
    refused(get, f"docker-archive:{archive}", "cut short")
