"""The process that sends: Locust and gevent live here, and are never imported by the caller."""
