"""A job: asks through the proxy, reads the store, fails if told so."""

import os
import sys
from urllib.request import ProxyHandler, build_opener

import redis

for _ in range(3):
    build_opener(ProxyHandler({})).open(f"{os.environ['ECHO']}/").read()
count = redis.from_url(os.environ["STORE"]).get("count")
sys.stdout.write(f"count {int(count)}\n")
if os.environ["FAIL"]:
    sys.exit("told to fail")
