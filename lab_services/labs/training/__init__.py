"""Helpers of the labs of the group *training*."""
