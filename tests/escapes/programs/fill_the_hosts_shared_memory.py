"""Fill /dev/shm, or as much of it as 64 MiB."""

from hostile import hold

with open("/dev/shm/large", "wb", buffering=0) as file:
    for _ in range(64):
        try:
            file.write(bytes(1 << 20))
        except OSError:
            break
hold()
