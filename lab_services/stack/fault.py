"""What was done to a running stack, and when."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """Something done to a running stack.

    `kind` is the verb (kill, pause, delay, errors, scale, rollout), `start` and `end` are Unix
    seconds on the clock of the recordings; `end` is None while the fault lasts.
    """

    kind: str
    service: str
    replica: int | None
    start: float
    end: float | None = None
    detail: str = ""

    def __str__(self) -> str:
        who = f"{self.service} {self.replica}" if self.replica else self.service
        return f"{self.kind} {who}" + (f" ({self.detail})" if self.detail else "")
