"""Connect to a service of the host's by the name of its socket, which is in no file system."""

import socket

connection = socket.socket(socket.AF_UNIX)
connection.connect("\0escapes")
connection.send(b"hostile")
