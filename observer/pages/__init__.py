"""The table of pages."""

from __future__ import annotations

from . import host, logs, process, task
from .kind import Page

PAGES: tuple[Page, ...] = (host.PAGE, task.PAGE, process.PAGE, logs.PAGE)
