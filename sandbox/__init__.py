"""A sandbox of cgroups and namespaces for one group of processes. Knows nothing of tasks; usable alone.

What may be asked: `spec.Spec`, `spec.Limits`, `privileges.asked.Privileges`. In this order it comes to be:

    cgroups.tree.make, tree.limit      a group and its limits, each with what was got
    plan.plan, rehearse.rehearse       the steps as values; whether this host can carry them out
    spawn.fork_first                   the first process, which carries them out and stays
    privileges.table.steps             what each later process gives up
    spawn.fork                         a process inside, which waits for its `go`

`rootfs.prepare` gives a root from an image, `network.command` a program that connects a net namespace,
`disk.limit.begin` a limit of disk space; each with what ends it, and a sweep for what somebody left who was killed.
`host` tries what a host can give. Kill the first process, and all inside are gone; then `tree.remove_tree`.
"""
