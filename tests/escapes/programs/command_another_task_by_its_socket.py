"""Command another task of the same user by its control socket."""

import socket

from hostile import bait

connection = socket.socket(socket.AF_UNIX)
connection.connect(bait.path)
connection.send(b"hostile")
