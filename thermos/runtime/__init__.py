"""The rim: the processes that carry a task, keeper and supervisor, and what they touch the world with."""
