"""Run a lab's services from its Compose file: `Stack`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab_services.stack.fault import Fault
    from lab_services.stack.stack import Stack

__all__ = ["Fault", "Stack"]


def __getattr__(name: str) -> Any:
    # The supervisor and the zygote live in this package and need neither: a third of their start.
    if name == "Stack":
        from lab_services.stack.stack import Stack

        return Stack
    if name == "Fault":
        from lab_services.stack.fault import Fault

        return Fault
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
