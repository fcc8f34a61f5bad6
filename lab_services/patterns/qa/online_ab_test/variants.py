"""Which arm of a test a traveller is in: the same one for as long as the share stays."""

from lab_services.services.bucketing import bucket

A, B = "a", "b"


def arm_of(user: str, salt: str, share: float) -> str:
    """The candidate B for that share of the travellers, A for all others.

    A larger share adds travellers to B and takes none away.
    """
    return B if bucket(user, salt) < share else A
