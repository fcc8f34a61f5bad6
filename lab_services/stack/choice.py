"""Which runtime a stack takes."""

import os
from dataclasses import dataclass

from lab_services.errors import LabError
from lab_services.stack.runtime import RuntimeUnavailable

RUNTIMES = ("docker", "process")


@dataclass(frozen=True)
class Choice:
    """A runtime and the reason for it, to be shown."""

    runtime: str
    reason: str


def choose_runtime(wish: str) -> Choice:
    """`wish` is docker, process or auto: what LAB_RUNTIME says, or else what can be used here.

    Who names a runtime, by an argument or an option, is above LAB_RUNTIME.
    Raises RuntimeUnavailable when Docker is asked for and its engine does not answer.
    """
    if wish == "auto":
        wish = os.environ.get("LAB_RUNTIME") or wish
    if wish == "process":
        return Choice("process", "asked for")
    if wish not in ("docker", "auto"):
        raise LabError(f"There is no runtime {wish!r}.", f"Use {', '.join(RUNTIMES)} or auto.")
    # The SDK costs more than a whole plain stack's start, and plain stacks do not need it.
    from lab_services.stack.docker import available

    there, reason = available()
    if wish == "docker":
        if not there:
            raise RuntimeUnavailable(
                f"Docker cannot be used here: {reason}",
                'Start Docker, or take plain processes: runtime="process".',
            )
        return Choice("docker", "asked for")
    return Choice("docker", "its engine answers") if there else Choice("process", reason)
