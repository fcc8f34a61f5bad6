from .messages import Fault as Fault
from .stack import Stack as Stack
