"""A program for a container: send what goes to some neighbours of its network to nobody.

`python blackhole.py ADDRESS…` sets for each address a permanent neighbour entry (ARP) with the
address of a network card that nobody has, and takes back what it has set before for any other. What
is sent to them leaves the container and is lost, as in a network that is cut. It needs NET_ADMIN in
the network namespace of that container, and nothing of this package, so that any Python can run it.
"""

import socket
import struct
import sys
from pathlib import Path

NOBODY = "02:00:00:00:00:01"  # of those that anyone may give out
_CARD = "eth0"  # a container of a stack is in one network
# From linux/rtnetlink.h, linux/netlink.h and linux/neighbour.h.
_NEW, _DELETE = 28, 29
_REQUEST, _ACKNOWLEDGE, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400
_PERMANENT = 0x80
_DESTINATION, _LINK_ADDRESS = 1, 2


def main(wanted: set[str]) -> None:
    """Lose what goes to these addresses, and to no others."""
    lost = {
        fields[0]
        for fields in map(str.split, Path("/proc/net/arp").read_text().splitlines()[1:])
        if fields[3] == NOBODY
    }
    for address in wanted - lost:
        _ask(_NEW, _REPLACE | _CREATE, address, bytes.fromhex(NOBODY.replace(":", "")))
    for address in lost - wanted:
        _ask(_DELETE, 0, address)


def _ask(kind: int, flags: int, address: str, link: bytes = b"") -> None:
    card = socket.if_nametoindex(_CARD)
    body = struct.pack("=BxxxiHBB", socket.AF_INET, card, _PERMANENT, 0, 1)
    body += struct.pack("=HH4s", 8, _DESTINATION, socket.inet_aton(address))
    if link:
        body += struct.pack("=HH6sxx", 10, _LINK_ADDRESS, link)
    head = struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | _ACKNOWLEDGE | flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as line:
        line.send(head + body)
        (code,) = struct.unpack_from("=i", line.recv(4096), 16)
    if code:
        raise OSError(-code, f"the kernel refuses a neighbour entry for {address}")


if __name__ == "__main__":
    main(set(sys.argv[1:]))
