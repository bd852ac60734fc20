"""System calls that are denied: the default profile, or one of the caller's."""

from __future__ import annotations

from .asked import DEFAULT, UNCONFINED
from .capabilities import kept
from .kind import Privilege, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.seccomp.profile import Profile

    from .asked import Privileges
    from .kind import Kernel, Step


def _profile(asked: Privileges, kernel: Kernel) -> Profile | None:
    if asked.seccomp == UNCONFINED:
        return None
    capabilities = kept(asked)
    if asked.seccomp == DEFAULT:
        from sandbox.seccomp import default

        return default.profile(capabilities, trace=asked.trace)
    if isinstance(asked.seccomp, str):
        raise Refused("seccomp", f"{asked.seccomp!r} is not {DEFAULT}, {UNCONFINED}, or a profile")
    if asked.trace:
        raise Refused("trace", "it belongs to the default profile; a profile of your own says what it allows")
    from sandbox.seccomp import oci

    try:
        return oci.profile(asked.seccomp, machine=kernel.machine, release=kernel.release, capabilities=capabilities)
    except oci.BadProfile as error:
        raise Refused(f"seccomp.{error.path}" if error.path else "seccomp", error.why) from None


def _steps(asked: Privileges, kernel: Kernel, root_user: bool) -> list[Step]:
    profile = _profile(asked, kernel)
    if profile is None:
        return []
    from sandbox.seccomp import UnknownMachine
    from sandbox.seccomp.numbers import NUMBERS
    from sandbox.seccomp.program import program

    try:
        text = program(profile, kernel.machine)
    except (UnknownMachine, ValueError) as error:
        raise Refused("seccomp", str(error)) from None
    return [("seccomp", text, profile.flags, NUMBERS[kernel.machine]["seccomp"])]


def _describe(asked: Privileges, root_user: bool) -> list[tuple[str, str]]:
    if not isinstance(asked.seccomp, str):
        return [("seccomp", "a profile of its own")]
    return [("seccomp", f"{asked.seccomp}, and tracing" if asked.trace else asked.seccomp)]


def _lacking(asked: Privileges, kernel: Kernel) -> list[tuple[str, str]]:
    if asked.seccomp != UNCONFINED:
        from sandbox.seccomp.numbers import NUMBERS

        if kernel.machine not in NUMBERS:
            return [
                ("seccomp", f"there is no table of system calls for {kernel.machine}, only for {', '.join(NUMBERS)}")
            ]
    return []


ROW = Privilege("seccomp", _steps, _describe, _lacking)
