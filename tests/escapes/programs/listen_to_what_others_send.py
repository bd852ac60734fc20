"""Listen to every packet on every interface of the host's."""

import socket
import time

sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
last = time.monotonic() + 2
while time.monotonic() < last:
    packet = sniffer.recv(4096)
    if packet[9:10] == b"\x11":
        print(packet[28:].decode(errors="replace"), flush=True)
        break
