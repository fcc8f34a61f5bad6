"""Helpers of the lab `qa/loading-test`."""
