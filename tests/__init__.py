"""A package, so that no other package named `tests` is taken for it."""
