# Written by changeable.py, which says how.
# ruff: noqa: E501 - docstrings stand further in than where they were written

import collections.abc

from lab_services.stack.faults import Change

class Changeable:
    """The methods of `Stack` that change it."""

    def do(self, change: Change) -> None:
        """Carry out a change; each of the other methods does it with one of its own kind."""

    def kill(self, service: str, replica: int = 1) -> None:
        """SIGKILL a replica: its process is gone at once, requests in it are lost."""

    def start(self, service: str, replica: int = 1) -> None:
        """Start a replica that has ended; returns when it answers."""

    def pause(self, service: str, replica: int = 1) -> None:
        """Freeze a replica: its connections stay open, nothing answers."""

    def resume(self, service: str, replica: int = 1) -> None:
        """Let a paused replica go on."""

    def scale(self, service: str, replicas: int) -> None:
        """Run that many replicas; returns when they answer and every proxy knows them."""

    def rollout(self, service: str, environment: collections.abc.Mapping[str, str]) -> None:
        """Replace the replicas one by one by new ones with a changed environment."""

    def inject_delay(self, service: str, seconds: float, share: float = 1.0) -> None:
        """Let the proxy in front of a service hold that share of its requests for some seconds."""

    def inject_errors(self, service: str, status: int = 503, share: float = 1.0) -> None:
        """Let the proxy in front of a service answer that share of its requests with an error."""

    def clear_faults(self, service: str) -> None:
        """End the faults of a service that last until they are lifted; it may have none."""

    def partition(self, service: str, other: str) -> None:
        """Cut two services off from each other: nothing passes between them, in either direction.

        Open connections stay open and silent, new ones hang until their caller gives up, as in a
        network that drops packets; all other services reach both. The Compose file names the pair under
        `x-partitions`: as plain processes each of the two is told a relay's address at its start, and
        a relay between all services would add its own time to whatever is measured.
        """

    def limit_cpu(self, service: str, cores: float) -> None:
        """Hold each replica of a service to that many cores, such as 0.25, while it runs.

        On Docker it is the kernel's quota; plain processes are stopped and let go on in turns, which is
        true to some per cent on the average. A limit of the Compose file holds besides.
        """

def stub() -> str: ...
