"""Escapes into namespaces of the host's, and into new ones where a process is root."""

from __future__ import annotations

import os
from collections.abc import Iterator

from escapes import Bait, Scene, escape, status

_PRIVATE = "its pid namespace and its /proc show no process of the host's"
_NO_USER_NAMESPACE = "seccomp denies CLONE_NEWUSER to unshare(2) and clone(2), and answers clone3(2) with ENOSYS"


@escape("root", stopped_by=f"{_PRIVATE}; CAP_SYS_ADMIN is gone, seccomp denies setns(2)")
def enter_the_namespaces_of_pid_1(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.there("/srv/bait/planted"), file="/srv/bait/planted")


@escape("root", stopped_by=f"{_PRIVATE}; CAP_SYS_ADMIN is gone, seccomp denies setns(2)")
def enter_the_namespaces_of_the_keeper(scene: Scene) -> Iterator[Bait]:
    yield Bait(lambda: scene.there("/srv/bait/planted"), file="/srv/bait/planted")


@escape("root", stopped_by="CAP_SYS_ADMIN is gone, seccomp denies setns(2)")
def enter_a_network_kept_as_a_file(scene: Scene) -> Iterator[Bait]:
    """As `ip netns` keeps them."""
    kept = scene.file("netns")
    scene.stage.ask(f"import subprocess; subprocess.run(['unshare', '--net={kept}', 'true'], check=True)")
    look = f"import subprocess; print(subprocess.run(['nsenter', '--net={kept}', 'cat', '/proc/net/if_inet6']))"
    look = look.replace("print(", "").removesuffix(")")
    yield Bait(lambda: "lo" in scene.stage.ask(look), only_at_the_end=True, kept=kept)


def root_of_its_own(scene: Scene) -> Iterator[Bait]:
    """The program in another user namespace than ours, with every capability there."""

    def test(pid: int) -> bool:
        own = os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
        return own and int(status(pid)["CapEff"], 16) & (1 << 21) != 0

    yield Bait(lambda: scene.any_process(test))


@escape("root", "mallory", stopped_by=_NO_USER_NAMESPACE)
def unshare_a_user_namespace(scene: Scene) -> Iterator[Bait]:
    yield from root_of_its_own(scene)


@escape("mallory", stopped_by=_NO_USER_NAMESPACE)
def clone_a_user_namespace(scene: Scene) -> Iterator[Bait]:
    yield from root_of_its_own(scene)


@escape("mallory", stopped_by=_NO_USER_NAMESPACE)
def clone3_a_user_namespace(scene: Scene) -> Iterator[Bait]:
    yield from root_of_its_own(scene)


@escape("root", "mallory", stopped_by="seccomp ends a process that makes a call through the 32 bit entry")
def call_through_the_32_bit_entry(scene: Scene) -> Iterator[Bait]:
    yield from root_of_its_own(scene)


@escape("root", stopped_by="CAP_SYS_ADMIN is gone, seccomp denies unshare(2) of namespaces")
def unshare_a_network(scene: Scene) -> Iterator[Bait]:
    """A network of its own makes it the administrator of one, with all that the kernel then does for it."""

    def test(pid: int) -> bool:
        # Of the stage's or a private one that the sandbox gave it, it is not; lo is up there only if it has set it so.
        return "planted" in (open(f"/proc/{pid}/net/dev").read())

    yield Bait(lambda: scene.any_process(test))
