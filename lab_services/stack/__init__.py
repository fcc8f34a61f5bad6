"""Run a lab's services from its Compose file: `Stack`."""

from lab_services.stack.fault import Fault
from lab_services.stack.stack import Stack

__all__ = ["Fault", "Stack"]
