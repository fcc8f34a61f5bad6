"""One statement about what was found, the bound it must keep, and its rival."""

import math
import numbers as abstract
from dataclasses import dataclass
from enum import StrEnum

from lab_services.report import numbers
from lab_services.report.stats import Interval

_SHOULD = """\
Give what the functions of `report` give and not its `.value` (ratio, share, t_interval, \
paired_ratio, resampled, or two intervals by `.over` and `.minus`); count with an int."""
_RIVAL = 'rival=("the network is what costs: a hit saves nothing", 1.0)'
# Numbers in these are estimates, however round they are.
_ESTIMATED = ("s", "share", "ratio", "requests/s")
_OF_THIS_MACHINE = ("s", "requests/s")


class Verdict(StrEnum):
    """What the run says of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_ENOUGH = "not enough evidence"


class Kind(StrEnum):
    """What a claim is about."""

    MEASURED = "measured on this run's services"
    COMPUTED = "computed on stored data"
    REPLAYED = "replayed with a seed"


@dataclass(frozen=True)
class Rival:
    """Another explanation, and between which ends lies what would be found if it were true.

    `supposed` says that the ends come from this run, so they are known only when it is made.
    """

    text: str
    low: float
    high: float
    unit: str = ""
    supposed: bool = False

    @property
    def found(self) -> str:
        """What would be found, in words: `1×`, `at least 1`."""
        return _between(self.low, self.high, self.unit)


@dataclass(frozen=True)
class Claim:
    """A statement with what was found and the bounds it must keep, in the unit of what was found.

    Its rival is another explanation which those bounds exclude.
    """

    text: str
    kind: Kind
    measured: Interval
    least: float
    most: float
    rival: Rival

    def __post_init__(self) -> None:
        """Raises ValueError for what nothing could break, or what only this machine could keep."""
        if self.least > self.most:
            raise ValueError(f"The claim {self.text!r} has its bounds in the wrong order.")
        ends = [end for end in (self.least, self.most) if math.isfinite(end) and end]
        if self.kind is Kind.MEASURED and self.measured.unit in _OF_THIS_MACHINE and ends:
            raise ValueError(
                f"The claim {self.text!r} has a bound in {self.measured.unit}, which another "
                "machine does not keep. State it as a ratio to something measured in the same run."
            )
        if self._bounded and self._rival_passes and not self.rival.supposed:
            raise ValueError(
                f"The claim {self.text!r} would hold if its rival were true: that gives "
                f"{self.rival.found}, and the bound is {self.bound}. Move the bound between what "
                "the two predict, or measure something on which they differ."
            )

    @property
    def verdict(self) -> Verdict:
        """Holds where the whole interval keeps the bounds, fails where none of it does.

        Anything between is not enough evidence, and so is whatever has a `_doubt`.
        """
        low, high = self.measured.low, self.measured.high
        if self._doubt:
            return Verdict.NOT_ENOUGH
        if low >= self.least and high <= self.most:
            return Verdict.HOLDS
        if high < self.least or low > self.most:
            return Verdict.FAILS
        return Verdict.NOT_ENOUGH

    @property
    def _bounded(self) -> bool:
        ends = (self.least, self.most)
        return any(map(math.isfinite, ends)) and not any(map(math.isnan, ends))

    @property
    def _rival_passes(self) -> bool:
        """Whether something that the rival could give keeps the bounds."""
        return self.rival.low <= self.most and self.rival.high >= self.least

    @property
    def _doubt(self) -> str:
        """Why nothing can be said, wherever the interval lies; nothing where something can."""
        found = self.measured
        if found.note:
            return found.note
        if not self._bounded:
            return "the bound is not known"
        if math.isnan(found.low) or math.isnan(found.high):
            return "the interval is not known"
        if found.low == found.high and not _counted(found):
            return "an estimate without an interval"
        if math.isnan(self.rival.low) or math.isnan(self.rival.high):
            return "what the rival predicts is not known"
        return "the rival would pass here, too" if self._rival_passes else ""

    @property
    def bound(self) -> str:
        """The bounds in words: `at least 3.0×`."""
        if not self._bounded:
            return numbers.UNKNOWN
        if self.least == self.most:
            return f"exactly {numbers.rounded(self.least, self.measured.unit)}"
        return _between(self.least, self.most, self.measured.unit)

    @property
    def found(self) -> str:
        """What was measured, in words; why it is not known is the `reason`."""
        return str(self.measured) if self.measured.known else numbers.UNKNOWN

    @property
    def reason(self) -> str:
        """Why it does not hold, and by how much; nothing where it does."""
        verdict = self.verdict
        if verdict is Verdict.HOLDS:
            return ""
        if verdict is Verdict.NOT_ENOUGH:
            return self._doubt or "the interval reaches over the bound"
        # The end that lies nearest to the bound: the least by which the claim is missed.
        missed = (
            self.least - self.measured.high
            if self.measured.high < self.least
            else self.measured.low - self.most
        )
        return f"misses the bound by at least {numbers.written(missed, self.measured.unit)}"


def as_interval(text: str, found: object) -> Interval:
    """What the claim of this `text` is about: an interval, or a count, which is an integer.

    Raises ValueError for any other number, which is an estimate that has lost its interval, and for
    what is no number.
    """
    if isinstance(found, Interval):
        return found
    if found is None:
        what = "None. Give Interval.unknown(reason), which says why there is no number"
    elif isinstance(found, bool) or not isinstance(found, abstract.Real):
        what = f"{found!r}, which is no number"
    elif isinstance(found, abstract.Integral):
        return Interval.exact(int(found))
    else:
        what = f"the bare number {found:.6g}, which says nothing of how sure it is"
    raise ValueError(f"The claim {text!r} is about {what}. {_SHOULD}")


def as_rival(text: str, rival: object, unit: str) -> Rival:
    """The rival of the claim of this `text`, from its sentence and what it predicts in `unit`.

    That is a number, a pair of ends, or an interval of this run. Raises ValueError for another
    form, and where there is none.
    """
    if not (isinstance(rival, tuple) and len(rival) == 2 and isinstance(rival[0], str)):
        raise ValueError(
            f"The claim {text!r} needs its rival: the sentence of who expects something else, and "
            f"what would be found if they were right, a number or a pair of ends: {_RIVAL}."
        )
    sentence, predicted = rival
    if isinstance(predicted, Interval):
        return Rival(sentence, predicted.low, predicted.high, unit, supposed=True)
    ends = predicted if isinstance(predicted, tuple) else (predicted, predicted)
    if len(ends) != 2 or not all(isinstance(end, abstract.Real) for end in ends):
        raise ValueError(f"The rival of {text!r} predicts {predicted!r}, not a number or two ends.")
    low, high = map(float, ends)
    return Rival(sentence, low, high, unit)


def _counted(found: Interval) -> bool:
    return found.unit not in _ESTIMATED and float(found.value).is_integer()


def _between(low: float, high: float, unit: str) -> str:
    least, most = numbers.rounded(low, unit), numbers.rounded(high, unit)
    if math.isnan(low) or math.isnan(high):
        return numbers.UNKNOWN
    if low == high:
        return least
    if math.isinf(high):
        return "any value" if math.isinf(low) else f"at least {least}"
    return f"at most {most}" if math.isinf(low) else f"{least} to {most}"
