"""Where a user stands in an experiment: in one place for as long as it keeps its name."""

import hashlib


def bucket(user: str, salt: str) -> float:
    """Where a user stands between 0 and 1, always the same for one salt.

    SHA-256 spreads any names evenly, numbered ones too, and is the same in every process and
    language, which Python's own hash() is not. Who stands below a share belongs to it: a larger
    share takes nobody out.

    >>> round(bucket("traveller-1", "test"), 4)
    0.0442
    """
    digest = hashlib.sha256(f"{salt}:{user}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
