"""Small known mutations of the core, one text per part of it. The tests must notice every one."""
