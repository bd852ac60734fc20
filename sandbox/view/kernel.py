"""What the kernel shows of itself and of the host in /proc and /sys. Pure."""

from __future__ import annotations

from sandbox import ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.ops import Op
    from sandbox.spec import Spec

#: Of other processes' and the host's, and what traces the kernel: nothing a program needs. Most is what runc masks.
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/bpf",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
)

#: What is written to here holds for the whole host.
FROZEN = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)

_FLAGS = ops.NOSUID | ops.NODEV | ops.NOEXEC
_SYS = "/sys"
_GROUPS = "/sys/fs/cgroup"

#: Parts that everybody may see, where they are not hidden.
SHARED = (_SYS, _GROUPS)


def hides_groups(spec: Spec) -> bool:
    """Who has a cgroup namespace is not to see the groups of all others by way of the host's mounts, and what
    /proc/self/cgroup says would be looked for in vain there."""
    return spec.masks and "cgroup" in spec.namespaces


def taken(spec: Spec) -> list[Op]:
    """For a root of its own: the host's /sys. The groups alone where the rest can be made anew."""
    if spec.root is None:
        return []
    if "net" not in spec.namespaces:
        return [ops.take(_SYS, _SYS)]
    return [] if hides_groups(spec) else [ops.take(_GROUPS, _GROUPS)]


def places(spec: Spec) -> list[tuple[str, list[Op]]]:
    foreign = spec.root is not None
    steps: list[tuple[str, list[Op]]] = []
    if "pid" in spec.namespaces:
        data = "hidepid=2" if spec.hidepid else ""
        steps.append(("/proc", [ops.filesystem("/proc", "proc", "/proc", _FLAGS, data)]))
    if foreign and "net" in spec.namespaces:  # it shows the interfaces of the namespace it was mounted in
        steps.append((_SYS, [ops.filesystem(_SYS, "sysfs", _SYS, _FLAGS | ops.RDONLY)]))
        if not hides_groups(spec):
            steps.append((_GROUPS, [ops.put(_GROUPS, _GROUPS, _FLAGS | ops.RDONLY)]))
    elif foreign:
        steps.append((_SYS, [ops.put(_SYS, _SYS, _FLAGS | ops.RDONLY)]))
    elif spec.masks and not spec.read_only:
        steps.append((_SYS, [ops.freeze(_SYS)]))
    if spec.masks:
        hidden = [_GROUPS] if hides_groups(spec) else []
        steps += [(path, [ops.mask(path)]) for path in [*MASKED, *hidden]]
        steps += [(path, [ops.freeze(path)]) for path in FROZEN]
    return steps
