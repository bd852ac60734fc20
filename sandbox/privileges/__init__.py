"""What a process of a sandbox may do: capabilities, system calls, limits, priorities.

    asked = Privileges(capabilities_dropped=["ALL"], nice=5, rlimits={"nofile": "1024:4096"})   # asked.py
    kernel = probing.kernel()
    table.problems(asked, kernel)                   # everything that is wrong with it, at once
    table.lacking(asked, kernel)                    # what this kernel cannot do of it
    steps = table.steps(asked, kernel, root_user=False)   # plain values, once per sandbox

    doing.prepare(steps)                            # in the process that forks those that are started
    doing.early(steps)                              # in each process: still privileged
    doing.late(steps)                               # as its user, last thing before execve

Asking is pure; `doing` and `probing` are not. Nothing is imported here: the resident process needs `doing` alone.
"""
