"""Helpers of the lab `operation/prediction-monitoring`."""
