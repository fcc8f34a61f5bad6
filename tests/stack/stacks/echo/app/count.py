"""A job: asks through the proxy, reads the store, fails if told so."""

import os
import sys
import urllib.request

import redis

for _ in range(3):
    urllib.request.urlopen(f"{os.environ['ECHO']}/").read()
count = redis.from_url(os.environ["STORE"]).get("count")
sys.stdout.write(f"count {int(count)}\n")
if os.environ["FAIL"]:
    sys.exit("told to fail")
