"""Remount a read-only mount so that it can be written to."""

from hostile import bait, mount, put

MS_REMOUNT, MS_BIND = 32, 4096
for where in ("/", "/srv", bait.where):
    try:
        mount("none", where, flags=MS_REMOUNT | MS_BIND)
    except OSError as error:
        print(error)
put(f"{bait.where}/written", "hostile")
