"""Capabilities: the parts of root's power, capabilities(7).

Kept by default are what a program that installs files, serves a low port, and becomes another user needs. Docker
keeps those and five more (its documentation, "Runtime privilege and Linux capabilities"); Podman has dropped
AUDIT_WRITE, MKNOD and NET_RAW from its own list since (containers/common, `default_capabilities`), as we do:
* NET_RAW: packets under another's address, to everybody on the same bridge; ping has done without since Linux 3.0;
* MKNOD: a device by its number, which only the devices controller stands against;
* AUDIT_WRITE: the host's log, for login programs;
and two more, which set-up programs need and services do not:
* SYS_CHROOT: with a directory left open it leads out of a root that is no mount namespace's;
* SETFCAP: capabilities given to files, which no_new_privs makes worthless inside, and which outlive the sandbox.

What is kept bounds a process and all that it starts. Root has these; another user has none but what is asked by name
(as ambient ones, which survive execve).
"""

from __future__ import annotations

from .kind import Privilege, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .asked import Privileges
    from .kind import Kernel, Step

_IN_ORDER = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""

#: In the order of their numbers: <linux/capability.h> of Linux 6.18; none was added since 5.9.
NAMES: tuple[str, ...] = tuple(_IN_ORDER.split())

KEPT = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE")

_ALL = "ALL"


def kept(asked: Privileges) -> list[str]:
    """The names of the bounding set, in the order of their numbers. Raises Refused."""
    dropped = _read(asked.capabilities_dropped, "capabilities_dropped")
    added = _read(asked.capabilities_added, "capabilities_added")
    left = [] if _ALL in dropped else [name for name in KEPT if name not in dropped]
    if _ALL in added:
        return [name for name in NAMES if name not in dropped or name in added]
    return [name for name in NAMES if name in left or name in added]


def _read(names: Iterable[str], field: str) -> list[str]:
    read: list[str] = []
    for name in names:
        plain = name.upper().removeprefix("CAP_")
        if plain != _ALL and plain not in NAMES:
            raise Refused(field, f"there is no capability {name!r}; there are {', '.join(NAMES)}, and ALL")
        read.append(plain)
    return read


def bits(names: Iterable[str]) -> int:
    return sum(1 << NAMES.index(name) for name in names)


def _left(asked: Privileges, root_user: bool) -> list[str]:
    """What the process has after execve. Raises Refused."""
    keep = kept(asked)
    added = _read(asked.capabilities_added, "capabilities_added")
    return keep if root_user or _ALL in added else [name for name in keep if name in added]


def _steps(asked: Privileges, kernel: Kernel, root_user: bool) -> list[Step]:
    keep = kept(asked)
    # What is there by default may be missing (a sandbox in a sandbox); what was asked by name may not. ALL: all there
    # are.
    added = _read(asked.capabilities_added, "capabilities_added")
    wanted = [(NAMES.index(name), name) for name in keep if name in added]
    return [("capabilities", bits(keep), bits(_left(asked, root_user)), int(not root_user), tuple(wanted))]


def _describe(asked: Privileges, root_user: bool) -> list[tuple[str, str]]:
    return [("capabilities", " ".join(_left(asked, root_user)) or "none")]


ROW = Privilege("capabilities", _steps, _describe)
