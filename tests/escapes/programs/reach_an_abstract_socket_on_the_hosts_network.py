"""Connect to a service of the host's by the name of its socket, which the host's network leads to."""

import socket

connection = socket.socket(socket.AF_UNIX)
connection.connect("\0escapes")
connection.send(b"hostile")
