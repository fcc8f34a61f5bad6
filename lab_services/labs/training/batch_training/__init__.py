"""Helpers of the lab `training/batch-training`."""
