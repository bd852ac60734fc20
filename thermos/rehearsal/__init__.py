"""A task rehearsed: the real core, with a virtual clock and in a pretended world.

`world` pretends the machine and the processes, `life` is the supervisor's loop in it. Nothing here looks at a clock
or touches anything, so an hour takes as long as what happens in it, and the same script always gives the same life.
`thermos simulate` shows such a life, and the tests drive thousands of them.
"""
