"""Helpers of the lab `serving/online-bigsize`."""
