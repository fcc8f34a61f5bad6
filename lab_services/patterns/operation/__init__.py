"""Patterns of operation."""
