"""Serves the state, health, logs and resource usage of every task on the host. Owns nothing, signals nothing."""
