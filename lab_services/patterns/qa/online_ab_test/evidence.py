"""Evidence that failures fall on the candidate, which may be looked at after every single one.

The test of Lindon and Malek ("Anytime-valid inference for multinomial count data", NeurIPS 2022)
for two arms. If both arms fail alike, a failure is one of B's with the probability of B's share.
Against that stands the guess which the failures so far suggest (Laplace's rule, a uniform prior).
The evidence is the product of what the guess gave each failure over what the share gave it. Were
the arms alike, it would reach 1 / x in at most a share x of all tests, however often one looks
(Ville's inequality).
"""

import math

from lab_services.patterns.qa.online_ab_test.variants import A, B


class Evidence:
    """Against the statement "both arms fail alike"."""

    def __init__(self) -> None:
        self.failures = {A: 0, B: 0}
        self.expected_of_b = 0.0
        self._log = 0.0

    def add(self, arm: str, share: float) -> None:
        """One failure in `arm`, at a moment when B had this share of the travellers.

        Raises ValueError for a share with which that arm had no travellers.
        """
        expected = share if arm == B else 1 - share
        if not 0 < expected <= 1:
            raise ValueError(f"Nobody is in arm {arm!r} when B's share is {share}.")
        guess = (self.failures[arm] + 1) / (sum(self.failures.values()) + 2)
        self._log += math.log(guess / expected)
        self.failures[arm] += 1
        self.expected_of_b += share

    def is_against_b(self, false_alarms: float) -> bool:
        """Whether B fails more than its share, where that share of harmless ones may be accused."""
        return self.failures[B] > self.expected_of_b and self._log >= -math.log(false_alarms)
