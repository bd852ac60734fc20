"""Give the host another name."""

import socket

socket.sethostname("planted")
