"""The flights, their features, and models trained on them and exported to ONNX."""

import lazy_loader

# Late: most services read a model and need no example of a request.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
