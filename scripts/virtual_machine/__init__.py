"""A throw-away virtual machine: Debian's user-mode-linux, a kernel that runs as a process.

`__main__` is outside: it starts the machine and makes sure that it ends. `init` is inside: the first process.
They share a directory, with the command in it, and three consoles: output, errors and exit status of the command.
"""
