"""Helpers of the lab `serving/serving-template`."""
