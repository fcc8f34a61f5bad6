"""HTTP to this machine, which is nobody else's business: no proxy is asked for it.

httpx and urllib send requests for loopback to the proxy of the environment, too, unless `no_proxy`
names its address. Whatever asks a service from the outside does it with this module's functions;
tests/test_proxies.py sees to it.
"""

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

_PATIENCE = 60.0  # seconds


def client(**options: Any) -> "httpx.Client":
    """A client of httpx, with its options, that keeps connections and asks no proxy."""
    import httpx  # late: a fifth of a second that a stack without questions need not wait for

    return httpx.Client(**options, trust_env=False)


def request(
    method: str, url: str, *, timeout: float = _PATIENCE, **options: Any
) -> "httpx.Response":
    """One request over a connection of its own, with the options of httpx's `request`.

    Raises httpx.TransportError where no answer comes, `timeout` in seconds.

    >>> request("GET", "http://127.0.0.1:8000/ready")        # doctest: +SKIP
    <Response [200 OK]>
    """
    return _shared().request(method, url, timeout=timeout, **options)


get = functools.partial(request, "GET")
post = functools.partial(request, "POST")
put = functools.partial(request, "PUT")


@functools.cache
def _shared() -> "httpx.Client":
    # To make one takes 20 ms, for certificates that loopback has no use for. An idle connection
    # would be lost with a service that is killed, so none is kept.
    import httpx

    return client(limits=httpx.Limits(max_keepalive_connections=0))
