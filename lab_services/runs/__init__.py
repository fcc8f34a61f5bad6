"""Notebooks executed, runs kept, compared, replayed and judged."""
