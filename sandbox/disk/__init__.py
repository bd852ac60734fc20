"""How much a directory may hold. Nothing here is imported by who asks for no limit.

`limit` sets one and takes it away, `usage` reads the figure (and imports nothing that could do harm), `watch` says when
the limit is reached; `python -I -m sandbox.disk` runs what takes time as a program of its own.
"""
