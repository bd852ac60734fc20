"""Change how the host's network works."""

from hostile import put

put("/proc/sys/net/ipv4/ip_default_ttl", "66", 0)
