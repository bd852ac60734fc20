"""The store: unpacked once, shared, held, swept; and whole again whenever and wherever somebody was killed."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import images
import pytest
from deadline import until
from images import Layout, file, folder, symlink, tar

from sandbox.rootfs import BadImage, Image, prepare, release, sweep

BASE = tar(folder("etc"), file("etc/name", b"base"), folder("d", mode=0o500), file("d/x"), symlink("s", "etc"))
UPPER = tar(folder("etc"), file("etc/.wh.name", b""), folder("d"), file("d/.wh..wh..opq", b""), file("d/y"))
OTHER = tar(file("other"))

#: What audit hooks are told of: everything that changes a file system, or opens or locks a file.
EVENTS = ("open", "fcntl.", "os.", "shutil.", "subprocess.")


def dead(holder: str) -> bool:
    return False


def living(holder: str) -> bool:
    return True


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return Layout(tmp_path / "layout").image(BASE, UPPER).path


def names(store: Path) -> dict[str, list[str]]:
    return {
        each: sorted(os.listdir(store / each))
        for each in ("layers", "holders", "locks", "fetched")
        if (store / each).is_dir() and os.listdir(store / each)
    }


def taken(store: Path, reference: Path, holder: str, alive: Callable[[str], bool] = dead) -> Image:
    """Prepared, and no longer under the protection of this process."""
    image = prepare(str(reference), str(store), holder, alive=alive)
    image.close()
    return image


def in_child(what: Callable[[], Any]) -> int:
    """The wait status of a process that does it. What it raises is its failure."""
    pid = os.fork()
    if pid == 0:
        try:
            what()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1]


# ---- once and shared


def test_two_images_share_the_layers_that_both_have(store: Path, tmp_path: Path, layout: Path) -> None:
    first = taken(store, layout, "one")
    root = os.stat(first.lower[1])
    second = taken(store, Layout(tmp_path / "second").image(BASE, OTHER).path, "two", living)
    assert first.lower[1] == second.lower[1]
    assert os.stat(second.lower[1]).st_ino == root.st_ino
    assert sorted(names(store)) == ["holders", "layers"]
    assert names(store)["layers"] == sorted(images.key(layer) for layer in (BASE, UPPER, OTHER))


def test_what_is_unpacked_needs_its_blob_no_more(store: Path, tmp_path: Path, layout: Path) -> None:
    taken(store, layout, "one")
    for layer in (BASE, UPPER):
        (layout / "blobs/sha256" / images.digest(images.gz(layer)).removeprefix("sha256:")).unlink()
    assert images.tree(taken(store, layout, "two").lower[1])["etc/name"][2] == b"base"


@contextmanager
def lock(store: Path, name: str) -> Iterator[int]:
    (store / "locks").mkdir(parents=True, exist_ok=True)
    fd = os.open(store / "locks" / name, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield fd
    finally:
        os.close(fd)


def waits_for_a_lock(pid: int) -> bool:
    lines = Path("/proc/locks").read_text().splitlines()
    return any(words[1] == "->" and words[5] == str(pid) for words in (line.split() for line in lines))


def test_a_second_run_of_the_same_image_waits_for_the_first(store: Path, tmp_path: Path, layout: Path) -> None:
    made = tmp_path / "elsewhere"
    taken(made, layout, "any")
    store.mkdir(mode=0o700)
    key = images.key(BASE)
    (store / "layers").mkdir(mode=0o700)
    os.chmod(store, 0o700)
    inode = os.stat(made / "layers" / key / "root").st_ino
    with lock(store, f"layers-{key}") as held:
        os.chmod(store / "locks", 0o700)
        pid = os.fork()
        if pid == 0:
            os.close(held)
            try:
                os._exit(os.stat(taken(store, layout, "task").lower[1]).st_ino != inode)
            finally:
                os._exit(99)
        until(lambda: waits_for_a_lock(pid), "it does not wait")
        # What the first one would do: the second finds it, and does not unpack it again.
        (made / "layers" / key).rename(store / "layers" / key)
    assert os.waitpid(pid, 0)[1] == 0


def test_many_at_once_get_the_same(store: Path, layout: Path) -> None:
    pids = []
    for number in range(8):
        pid = os.fork()
        if pid == 0:
            try:
                image = prepare(str(layout), str(store), f"task-{number}", alive=dead)
                found = images.tree(image.lower[1])
                os._exit(0 if found["etc/name"][2] == b"base" else 1)
            finally:
                os._exit(99)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 8
    sweep(str(store), dead)
    assert names(store) == {}


def test_many_that_come_and_sweep_and_go_never_lose_a_layer(store: Path, layout: Path) -> None:
    def come_and_go(number: int) -> None:
        for turn in range(15):
            holder = f"task-{number}"
            image = prepare(str(layout), str(store), holder, alive=dead)
            assert images.tree(image.lower[1])["etc/name"][2] == b"base"
            if turn % 3 == number % 3:
                sweep(str(store), dead)
                assert images.tree(image.lower[1])["etc/name"][2] == b"base"
            if turn % 2:
                release(str(store), holder)
            image.close()

    pids = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                come_and_go(number)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    sweep(str(store), dead)
    assert names(store) == {}


# ---- held and swept


def test_layers_stay_as_long_as_a_living_holder_names_them(store: Path, tmp_path: Path, layout: Path) -> None:
    taken(store, layout, "one")
    taken(store, Layout(tmp_path / "second").image(BASE, OTHER).path, "two", living)
    assert sweep(str(store), living) == []
    assert sweep(str(store), lambda holder: holder == "two") == ["one", images.key(UPPER)]
    assert names(store) == {"holders": ["two"], "layers": sorted([images.key(BASE), images.key(OTHER)])}
    release(str(store), "two")
    release(str(store), "two")
    assert names(store) == {"layers": sorted([images.key(BASE), images.key(OTHER)])}
    assert sweep(str(store), living) == sorted([images.key(BASE), images.key(OTHER)])
    assert names(store) == {}


def test_what_was_just_given_out_stays_though_its_holder_does_not_live_yet(store: Path, layout: Path) -> None:
    image = prepare(str(layout), str(store), "task", alive=dead)
    assert in_child(lambda: sweep(str(store), dead) == [] or os._exit(3)) == 0
    assert len(names(store)["layers"]) == 2
    image.close()
    assert sweep(str(store), dead) == ["task", *sorted([images.key(BASE), images.key(UPPER)])]


def test_what_was_given_to_a_process_that_died_goes(store: Path, layout: Path) -> None:
    assert in_child(lambda: prepare(str(layout), str(store), "task", alive=dead)) == 0
    assert names(store)["holders"] == ["task"]
    sweep(str(store), dead)
    assert names(store) == {}


def test_what_is_being_made_or_removed_is_left_alone(store: Path, layout: Path) -> None:
    taken(store, layout, "task")
    release(str(store), "task")
    key, other = images.key(BASE), images.key(UPPER)
    (store / "layers" / f".making-{key}x").mkdir()
    with lock(store, f"layers-{key}"), lock(store, f"layers-{key}x"):
        assert sweep(str(store), dead) == [other]
        assert names(store)["layers"] == [f".making-{key}x", key]
    sweep(str(store), dead)
    assert names(store) == {}


def test_a_holder_has_one_image_and_may_ask_for_it_again(store: Path, tmp_path: Path, layout: Path) -> None:
    first = taken(store, layout, "task")
    assert taken(store, layout, "task", living).lower == first.lower
    other = Layout(tmp_path / "other").image(OTHER).path
    with pytest.raises(BadImage, match="task has another image already, which has to be released first"):
        taken(store, other, "task", living)
    assert os.readlink(f"{first.links}/0").endswith(f"{images.key(UPPER)}/root")
    again = prepare(str(layout), str(store), "task", alive=dead)
    with pytest.raises(BadImage, match="task is being prepared by another process"):
        taken(store, layout, "task")
    again.close()
    assert len(taken(store, other, "task").lower) == 1


@pytest.mark.parametrize("gone", [False, True], ids=["kept", "given back"])
def test_who_waits_gets_it_when_the_first_one_lets_go(store: Path, layout: Path, gone: bool) -> None:
    first = prepare(str(layout), str(store), "task", alive=dead)
    with ThreadPoolExecutor() as pool:
        second = pool.submit(prepare, str(layout), str(store), "task", alive=living, wait=True)
        until(lambda: waits_for_a_lock(os.getpid()), "it does not wait")
        if gone:
            release(str(store), "task")
        first.close()
        image = second.result(60)
    assert image.lower == first.lower
    assert (store / "holders/task/0/etc").is_dir()
    image.close()


def test_a_store_that_others_can_write_in_is_refused(store: Path, tmp_path: Path, layout: Path) -> None:
    store.mkdir()
    store.chmod(0o777)
    with pytest.raises(BadImage, match="is not this user's alone to write in"):
        taken(store, layout, "task")
    store.chmod(0o700)
    (tmp_path / "elsewhere").mkdir()
    (store / "layers").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadImage, match="has a link where the store of images has a directory, layers"):
        taken(store, layout, "task")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(BadImage, match=r"the store of images, .*, cannot be used: "):
        taken(tmp_path / "file", layout, "task")


@pytest.mark.root
def test_a_store_of_somebody_else_is_refused(store: Path, layout: Path) -> None:
    store.mkdir(mode=0o700)
    os.chown(store, 65534, 65534)
    with pytest.raises(BadImage, match="is not this user's alone to write in"):
        taken(store, layout, "task")


def test_where_others_may_write_nothing_is_opened_up(store: Path, layout: Path) -> None:
    taken(store, layout, "task")
    for each in ("", "layers", "holders", "locks", "fetched"):
        assert (store / each).stat().st_mode & 0o077 == 0


# ---- killed, and failing, at each step


def watched(event: str, arguments: tuple[Any, ...]) -> bool:
    return event.startswith(EVENTS) and event not in ("os.listdir", "os.scandir", "os.fork")


def at_each_step(do: Callable[[], int | None], happens: Callable[[], None]) -> Iterator[int]:
    """Let it happen at the first step of what is done, in a process that does it; then at the second; and so on.

    Gives the wait status of each, until one has no more steps.
    """
    for step in range(1, 1000):

        def run(step: int = step) -> None:
            left = step

            def hook(event: str, arguments: tuple[Any, ...]) -> None:
                nonlocal left
                if left > 0 and watched(event, arguments):
                    left -= 1
                    if left == 0:
                        happens()

            sys.addaudithook(hook)
            outcome = do()
            os._exit(100 if left > 0 else outcome or 0)

        status = in_child(run)
        if os.waitstatus_to_exitcode(status) == 100:
            assert step > 20, "hardly a step was seen"
            return
        yield status
    raise AssertionError("it has no end")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def whole(store: Path, expected: dict[str, Any]) -> None:
    """Every name that is no litter has all that belongs to it."""
    for name in names(store).get("layers", []):
        if not name.startswith("."):
            assert images.tree(store / "layers" / name / "root") == expected[name]
            assert (store / "layers" / name / "about").stat().st_size > 0


@pytest.fixture
def expected(tmp_path: Path, layout: Path) -> dict[str, Any]:
    image = taken(tmp_path / "reference", layout, "task")
    assert images.tree(image.lower[0])["etc/name"] == ("device", 0)
    return {path.split("/")[-2]: images.tree(path) for path in image.lower}


def test_killed_at_any_step_of_preparing_it_leaves_nothing_but_litter(
    store: Path, layout: Path, expected: dict[str, Any]
) -> None:
    def do() -> None:
        prepare(str(layout), str(store), "task", alive=dead)

    for number, status in enumerate(at_each_step(do, die)):
        assert os.WIFSIGNALED(status)
        whole(store, expected)
        if number % 2:
            assert len(taken(store, layout, "task").lower) == 2
            whole(store, expected)
        sweep(str(store), dead)
        assert names(store) == {}


def test_killed_at_any_step_of_sweeping_it_is_swept_by_the_next(
    store: Path, layout: Path, expected: dict[str, Any]
) -> None:
    def do() -> None:
        sweep(str(store), dead)

    taken(store, layout, "task")
    for status in at_each_step(do, die):
        assert os.WIFSIGNALED(status)
        whole(store, expected)
        sweep(str(store), dead)
        assert names(store) == {}
        taken(store, layout, "task")


def test_whichever_step_fails_nothing_stays_and_the_next_run_works(
    store: Path, layout: Path, expected: dict[str, Any]
) -> None:
    outcomes = set()

    def do() -> int:
        before = sorted(os.listdir("/proc/self/fd"))
        said = ""
        try:
            prepare(str(layout), str(store), "task", alive=dead).close()
        except BadImage as error:
            said = str(error)
        if said:
            assert "No space left on device" in said
            assert names(store).get("holders") is None
            assert not [name for name in names(store).get("layers", []) if name.startswith(".")]
            assert sorted(os.listdir("/proc/self/fd")) == before
            return 10
        return 11

    for status in at_each_step(do, fail):
        outcomes.add(os.waitstatus_to_exitcode(status))
        whole(store, expected)
        sweep(str(store), dead)
        assert names(store) == {}
    assert outcomes <= {10, 11}
    assert 10 in outcomes
