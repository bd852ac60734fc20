# The library `sandbox` by itself: one command, and no task. Try, as root: .venv/bin/python examples/alone.py
import os
import shutil
import tempfile

from sandbox import spawn, syscalls
from sandbox.cgroups import tree
from sandbox.plan import plan
from sandbox.privileges import table
from sandbox.privileges.asked import Privileges
from sandbox.privileges.kind import Kernel
from sandbox.spec import Limits, Spec

box = tempfile.mkdtemp()  # the one directory that can be written
group = tree.make("box")
tree.make_leaf(group, "job")
missing = [why for _, _, got, why in tree.limit(group, Limits(cpu=0.5, memory=64 << 20, pids=20)) if got is None]
asked = Spec(("pid", "mount", "ipc", "uts", "net"), hostname="box", sandbox=box, read_only=True, dev=True, masks=True)
steps = plan(asked, required=("read-only root",))
syscalls.unshare(steps.clone)  # the next child is pid 1 of a new namespace
first = spawn.fork_first(steps, ["box"])
first.go()
first.wait()  # raises spawn.Failure, which names the step
lost = table.steps(Privileges(), Kernel(os.uname().machine, os.uname().release), root_user=True)
inside = os.pidfd_open(first.pid)
cgroups = tree.joins(group, "job")
place = spawn.Place(box, "", cgroups, init=inside, enter=steps.enter, output=1, privileges=lost)
job = spawn.fork(place, lambda step, errno, text: None)
job.go(spawn.Order(["/bin/sh", "-c", "hostname; echo $$; touch here /etc/not"], {"PATH": "/usr/bin:/bin"}))
job.wait()
print("status", os.waitstatus_to_exitcode(os.waitpid(job.pid, 0)[1]), "without", missing)
os.kill(first.pid, 9)  # with it goes the sandbox
tree.remove_tree(group)
shutil.rmtree(box)
