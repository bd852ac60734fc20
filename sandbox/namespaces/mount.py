"""The mount namespace: what files the sandbox sees is `sandbox.view`'s."""

from __future__ import annotations

from sandbox import view

from .kind import Namespace

ROW = Namespace("mount", 0x00020000, view.steps, view.outside)
