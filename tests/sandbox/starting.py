"""How tests start a process in a sandbox: see `starter.py` and the fixture `start`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Start = Callable[..., dict[str, Any]]

STARTER = [sys.executable, str(Path(__file__).with_name("starter.py"))]
