"""Run a lab's services from its Compose file: `Stack`."""

import lazy_loader

# Late: supervisor and zygote live in this package and need neither: a third of their start.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
