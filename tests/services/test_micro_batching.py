"""One call for all that wait."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from lab_services.services.micro_batching import MicroBatcher


def answers_of(many, count):
    """What each of so many callers gets that ask at the same moment."""

    async def ask():
        one = MicroBatcher(many, CollectorRegistry())
        return await asyncio.wait_for(
            asyncio.gather(*(one(n) for n in range(count)), return_exceptions=True), 5
        )

    return asyncio.run(ask())


def test_those_who_wait_share_one_call():
    """A call for each, or the answer of another caller."""
    calls = []

    def doubled(asked):
        calls.append(asked)
        return [2 * each for each in asked]

    assert answers_of(doubled, 3) == [0, 2, 4]
    assert calls == [[0, 1, 2]]


@pytest.mark.parametrize("answered", [2, 4])
def test_too_few_answers_are_an_error_for_all_and_nobody_waits(answered):
    """Callers who wait for ever for an answer that nobody gives."""
    found = answers_of(lambda asked: ["x"] * answered, 3)
    assert [type(each) for each in found] == [ValueError] * 3
    assert f"{answered} answers came to 3 requests" in str(found[0])
