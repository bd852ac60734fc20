"""Write 64 MiB to its own directory."""

from hostile import hold

with open("large", "wb", buffering=0) as file:
    for _ in range(64):
        file.write(b"x" * (1 << 20))
hold()
