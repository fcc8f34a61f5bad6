"""What is compared, measured in turns."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import TypeVar

from lab_services.errors import LabError
from lab_services.traffic.recording import Recording

_Arm = TypeVar("_Arm", bound=Hashable)


def rounds(
    arms: Iterable[_Arm], number: int, measure: Callable[[_Arm, int], Recording]
) -> dict[_Arm, Recording]:
    """Measure each of the `arms` once a round; gives for each the recording of all rounds.

    `measure` takes an arm and the number of the round, from 0 on, which makes a good seed; it sends
    traffic and gives the recording. Every second round goes through the arms backwards, so that no
    arm always comes after the same other one. The column `round` says which round a request is
    from: statistics pair by it what was measured in the same round, and of five rounds or more
    their intervals know how far rounds lie apart.

    Raises LabError without an arm or a round, for an arm that is there twice, and for requests that
    are labelled with a round already.

    >>> by_door = traffic.rounds(["blind", "checked"], 5, lambda door, number: traffic.send(
    ...     through(door), traffic.poisson(scale.rate(0.5), scale.seconds(200, 0.5), seed=number)))
    """
    several = list(arms)
    if not several or number < 1:
        raise LabError(
            f"{len(several)} arms in {number} rounds are nothing to compare.",
            "Give at least one arm and one round; five rounds or more know how far they differ.",
        )
    found: dict[_Arm, list[Recording]] = {arm: [] for arm in several}
    if len(found) < len(several):
        raise LabError(f"An arm is there twice: {several}.", "Give each another name.")
    for at in range(number):
        for arm in several if at % 2 == 0 else several[::-1]:
            part = measure(arm, at)
            if "round" in part.table:
                raise LabError(
                    "The requests have a label `round` already.", "Leave it out: it is put here."
                )
            found[arm].append(replace(part, table=part.table.assign(round=at)))
    return {arm: Recording.join(parts) for arm, parts in found.items()}
