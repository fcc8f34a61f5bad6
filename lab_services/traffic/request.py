"""What is sent: requests, checked and put into bytes before any clock runs."""

import json as jsonlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

from lab_services.errors import LabError
from lab_services.traffic.plan import WireRequest

# Columns of a recording's table, which no label may replace.
COLUMNS = (
    "intended",
    "started",
    "latency",
    "response_time",
    "status",
    "error",
    "answered_by",
    "ok",
    "bytes",
    "warmup",
)

Label = str | int | float | bool

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, section 5.5


@dataclass(frozen=True)
class Request:
    """One HTTP request: `json` is its body, `labels` become columns of the recording.

    Raises LabError for an URL without host, a body that JSON cannot hold, and names or headers
    that HTTP does not allow.

    >>> traffic.Request("http://127.0.0.1:8000/predict", json={"distance": 1400})
    >>> traffic.Request(stack.url("predictor", "/live"), method="GET", labels={"kind": "probe"})
    """

    url: str
    method: str = "POST"
    json: object = None
    headers: Mapping[str, str] | None = None
    labels: Mapping[str, Label] = field(default_factory=dict)
    message: WireRequest = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_labels(self.labels)
        object.__setattr__(self, "message", self._message())

    def _message(self) -> WireRequest:
        host, port, target, authority = _parts(self.url)
        fields = {"Host": authority, "User-Agent": "lab-services-traffic", "Accept": "*/*"}
        body = b""
        if self.json is not None:
            body = _body(self.json)
            fields["Content-Type"] = "application/json"
        if self.json is not None or self.method.upper() in {"POST", "PUT", "PATCH"}:
            fields["Content-Length"] = str(len(body))
        fields |= self.headers or {}
        if not _TOKEN.fullmatch(self.method):
            raise LabError(f"{self.method!r} is not an HTTP method.", 'Use "GET" or "POST".')
        for name, value in fields.items():
            if not (_TOKEN.fullmatch(name) and _FIELD_VALUE.fullmatch(value)):
                raise LabError(
                    f"HTTP does not allow the header {name!r}: {value!r}.",
                    "Names are letters, digits and dashes; values are one line of Latin-1.",
                )
        lines = [f"{self.method.upper()} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        head = "\r\n".join(lines) + "\r\n\r\n"
        return WireRequest(self.method.upper(), target, host, port, head.encode("latin-1") + body)


def requests(
    url: str, payloads: Iterable[object], /, method: str = "POST", **labels: Label
) -> list[Request]:
    """One request for each payload, all to `url` and with the same labels.

    Raises LabError when there is no payload, and for what `Request` refuses.

    >>> traffic.requests(stack.url("predictor", "/predict"), payloads.flights(1000), model="good")
    """
    made = [Request(url, method, payload, labels=labels) for payload in payloads]
    if not made:
        raise LabError(
            f"There are no payloads for {url}.", "Give at least one; they are sent in turn."
        )
    return made


@lru_cache(maxsize=1024)
def _parts(url: str) -> tuple[str, int, str, str]:
    """Host, port, request target and the Host header of `url`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError as error:
        raise LabError(f"{url!r} is not an URL: {error}.", _URL_HINT) from error
    if parts.scheme != "http" or not host:
        raise LabError(f"{url!r} is not an http:// URL with a host.", _URL_HINT)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not re.fullmatch(r"[\x21-\x7e]+", target):
        raise LabError(
            f"The path of {url!r} has characters that an URL cannot hold.",
            "Quote it with urllib.parse.quote.",
        )
    return host, port, target, parts.netloc.rpartition("@")[2]


_URL_HINT = 'Take it from the stack: stack.url("predictor", "/predict").'


def _body(payload: object) -> bytes:
    try:
        text = jsonlib.dumps(payload, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise LabError(
            f"A payload cannot be written as JSON: {error}.",
            "Use dicts, lists, strings, finite numbers, true, false and None; "
            "NumPy values become numbers with .item().",
        ) from error
    return text.encode()


def _check_labels(labels: Mapping[str, Label]) -> None:
    for name, value in labels.items():
        if name in COLUMNS:
            raise LabError(
                f"The label {name!r} is already a column of every recording.",
                f"Take another name than {', '.join(COLUMNS)}.",
            )
        if not isinstance(value, (str, int, float)):
            raise LabError(
                f"The label {name} = {value!r} is not a text or a number.",
                "Labels are texts, numbers or truth values.",
            )
