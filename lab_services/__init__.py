"""Stacks, traffic and claims behind the labs of *ML System Design Patterns, live*."""
