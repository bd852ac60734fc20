"""Every path under a root, in one table.

<root>/tasks/<task_id>/task.json     the task as accepted; never changes, but for where its groups are
                       journal       framed records, one writer
                       exits         the keeper's ledger of spawns and exits
                       lock          held (flock) by whoever is in charge: keeper, supervisor or both
                       setting       how the sandbox is made; never changes
                       control.sock  requests to the supervisor
                       changes/      what the task has changed in a root file system of its own
                       sandbox/      where processes run; logs in sandbox/.logs/<process>/<run>/{stdout,stderr}
<root>/new/<task_id>                 a task while it is being made; one at a time
<root>/ports/<number>                a symbolic link to the task that holds the port
<root>/images/                       root file systems from images, and who uses them
<root>/disks/                        limits of disk space, and images of those that are file systems
<root>/witness-<number>              an observer that may know how a process ended
"""

from __future__ import annotations

import os


def default_root() -> str:
    """$THERMOS_ROOT, else /var/lib/thermos as root and $XDG_STATE_HOME/thermos otherwise."""
    named = os.environ.get("THERMOS_ROOT")
    if named:
        return os.path.abspath(named)
    if os.geteuid() == 0:
        return "/var/lib/thermos"
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(state, "thermos")


def tasks_dir(root: str) -> str:
    return f"{root}/tasks"


def new_dir(root: str) -> str:
    return f"{root}/new"


def ports_dir(root: str) -> str:
    return f"{root}/ports"


def images_dir(root: str) -> str:
    return f"{root}/images"


def disks_dir(root: str) -> str:
    return f"{root}/disks"


def task_dir(root: str, task_id: str) -> str:
    return f"{root}/tasks/{task_id}"


#: Who has which address: of all tasks of the host, whatever their root.
NETWORKS = "/run/thermos/networks"

ACCEPTED = "task.json"
JOURNAL = "journal"
LEDGER = "exits"
LOCK = "lock"
SETTING = "setting"
CHANGES = "changes"
CONTROL = "control.sock"
SANDBOX = "sandbox"
LOGS = ".logs"
WITNESS = "witness-"  # and a number of its own for each observer


def sandbox_dir(root: str, task_id: str) -> str:
    """Where a task's processes run, unless `--sandbox` says otherwise."""
    return f"{task_dir(root, task_id)}/{SANDBOX}"


def run_logs(process: str, run: int) -> str:
    """A run's log directory, relative to the sandbox."""
    return f"{LOGS}/{process}/{run}"


def log_dir(sandbox: str, process: str, run: int) -> str:
    return f"{sandbox}/{run_logs(process, run)}"


def leaf_name(process: str, run: int) -> str:
    """The name of a run's own cgroup below its task's: readable, and a legal directory name for any process name."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "_-+") else f"%{ord(c):x};" for c in process)
    return f"{safe}.{run}"


def control_address(task_dir: str) -> tuple[int, str]:
    """An open descriptor of the task's directory, and its control socket's path through that.

    A socket's path may be 107 bytes long and a task's directory may be longer; through /proc it is always short.
    """
    fd = os.open(task_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return fd, f"/proc/self/fd/{fd}/{CONTROL}"
