"""Helpers of the lab `qa/offline-only`."""
