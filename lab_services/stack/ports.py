"""Free ports of loopback."""

import random
import socket
import sys

import psutil

from lab_services.stack.compose import Service
from lab_services.stack.runtime import PortTaken

# Below the ports that Linux and macOS hand out for outgoing connections, above the well-known.
_PORTS = range(20000, 32000)
# Linux lets a server bind a port that another socket is bound to but does not listen on, if both
# say that they may share it; BSD and macOS do not.
HOLDS = sys.platform == "linux"


def free_port(taken: set[int]) -> int:
    """A free port that is not in `taken`. Raises PortTaken when there is none."""
    with hold(taken) as held:
        return int(held.getsockname()[1])


def hold(taken: set[int]) -> socket.socket:
    """A socket that holds a free port; where HOLDS, a server can bind it all the same.

    Until it is closed nobody else is given the port: two learners who start at the same moment
    would now and then have met. Raises PortTaken when there is no free one.
    """
    for port in random.sample(_PORTS, 200):
        if port not in taken:
            held = socket.socket()
            try:
                held.bind(("127.0.0.1", port))
            except OSError:
                held.close()
                continue
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            return held
    raise PortTaken("No free port on loopback.", "End programs that hold ports 20000 to 32000.")


def is_free(port: int) -> bool:
    """True when a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def check_fixed(service: Service) -> None:
    """Raises PortTaken when a port that the Compose file fixes belongs to another program."""
    for port in service.ports:
        if port.host is not None and not is_free(port.host):
            raise PortTaken(
                f"Port {port.host}, which {service.name} asks for, is taken{_holder(port.host)}.",
                "End that program, or publish the service on any free port: "
                f"127.0.0.1::{port.container}.",
            )


def _holder(port: int) -> str:
    try:
        found = [c for c in psutil.net_connections("tcp4") if c.laddr and c.laddr.port == port]
        holder = next((c.pid for c in found if c.status == psutil.CONN_LISTEN and c.pid), None)
        return f" by {psutil.Process(holder).name()} (process {holder})" if holder else ""
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return ""  # macOS shows other programs' ports to root only
