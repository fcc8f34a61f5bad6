"""Helpers of the lab `serving/web-single`."""
