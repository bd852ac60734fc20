"""Thermos: run one task, a graph of processes, on one host, and carry on after any crash."""

__version__ = "0.1.0"
