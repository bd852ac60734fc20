"""Every row: importing a module of rows enters them."""

from __future__ import annotations

import rows_of_files
import rows_of_kernel
import rows_of_limits
import rows_of_mounts
import rows_of_namespaces
import rows_of_network
import rows_of_processes
from escapes import HERE, ROWS

__all__ = ["ROWS", "programs"]

_MODULES = (
    rows_of_files,
    rows_of_kernel,
    rows_of_limits,
    rows_of_mounts,
    rows_of_namespaces,
    rows_of_network,
    rows_of_processes,
)


def programs() -> list[str]:
    return sorted(path.stem for path in (HERE / "programs").glob("*.py"))
