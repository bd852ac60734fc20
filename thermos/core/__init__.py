"""The pure heart: what a record means (`evolve`) and what a state still lacks (`decide`).

No clock, file, process or socket in here; import-linter and `tests/test_layers.py` hold it to that.
"""
