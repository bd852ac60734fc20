"""Try which kinds of limit this host can give, by setting each and writing more than it allows."""

from __future__ import annotations

import os
import tempfile

from .kinds import KINDS, CannotLimit
from .limit import begin, end

_MIB = 1 << 20
#: The limit, in bytes: a file system of its own has room for it, and writing it takes no time.
_PROBE = 4 * _MIB
_NOBODY = 65534  # the user of that name, everywhere


def probe(directory: str, state: str) -> list[tuple[str, bool, str, str, str]]:
    """Try each kind on a directory made in `directory`: rows of (what, works, how, why not, remedy).

    `state`: as for `limit.begin`. Nothing is left but the directory `state` itself.
    """
    rows: list[tuple[str, bool, str, str, str]] = []
    for name, kind in KINDS.items():
        what = f"disk limit: {name}"
        how = "the kernel refuses more" if kind.enforced else "files are counted; more is noticed, not refused"
        try:
            os.makedirs(state, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="disk.", dir=directory) as tried:
                os.chmod(tried, 0o777)
                disk = begin(tried, _PROBE, state, os.path.basename(tried), kinds=[name])
                try:
                    works, why, remedy = True, "", ""
                    if kind.enforced and _holds_more(tried):
                        works, why = False, f"{_PROBE} bytes were asked for, and more were let pass"
                finally:
                    for entry in os.listdir(tried):
                        os.unlink(f"{tried}/{entry}")
                    end(disk)
        except CannotLimit as error:
            works, why, remedy = False, str(error).removeprefix(f"{name}: "), error.remedy
        except OSError as error:
            works, why, remedy = False, f"{directory}: {error.strerror or error}", "run it where tasks may be kept"
        rows.append((what, works, how if works else "", why, remedy))
    return rows


def _holds_more(directory: str) -> bool:
    """Whether a process without privileges may write more than it should: who holds CAP_SYS_RESOURCE has no quota."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1] == 0
    try:
        os.chdir(directory)
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        with open("written", "wb", buffering=0) as file:
            for _ in range(_PROBE // _MIB + 1):
                if file.write(bytes(_MIB)) < _MIB:
                    os._exit(1)
        os._exit(0)
    finally:
        os._exit(1)
