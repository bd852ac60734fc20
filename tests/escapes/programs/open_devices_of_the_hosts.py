"""Open devices of the host's: by their nodes in /dev, or by nodes of its own."""

import os
import stat

from hostile import hold

held = []
for name, major, minor in (("kvm", 10, 232), ("fuse", 10, 229), ("tty0", 4, 0), ("hwrng", 10, 183)):
    try:
        held.append(os.open(f"/dev/{name}", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        print(error)
    try:
        os.mknod(name, 0o600 | stat.S_IFCHR, os.makedev(major, minor))
        held.append(os.open(name, os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        print(error)
if held:
    hold()
