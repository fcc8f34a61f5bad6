"""Which arm of a test a traveller is in: the same one for as long as the share stays."""

import hashlib

A, B = "a", "b"


def place(user: str, salt: str) -> float:
    """Where a traveller stands between 0 and 1, always the same for one salt.

    SHA-256 spreads any names evenly, numbered ones too, and is the same in every process and
    language, which Python's own hash() is not.
    """
    digest = hashlib.sha256(f"{salt}:{user}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def arm_of(user: str, salt: str, share: float) -> str:
    """The candidate B for that share of the travellers, A for all others.

    A larger share adds travellers to B and takes none away.
    """
    return B if place(user, salt) < share else A
