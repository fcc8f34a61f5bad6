"""Helpers of the lab `serving/edge-prediction`."""
