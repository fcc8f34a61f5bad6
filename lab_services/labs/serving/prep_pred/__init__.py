"""Helpers of the lab `serving/prep-pred`."""
