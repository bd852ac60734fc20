"""A sandbox of cgroups and namespaces for one group of processes. Knows nothing of tasks; usable alone."""
