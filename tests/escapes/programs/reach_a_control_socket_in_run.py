"""Connect to a service of the host's by its socket in /run."""

import socket

connection = socket.socket(socket.AF_UNIX)
connection.connect("/run/escapes.sock")
connection.send(b"hostile")
