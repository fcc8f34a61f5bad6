"""One statement about what was found, the bound it must keep, and its rival."""

import math
from dataclasses import dataclass
from enum import StrEnum
from numbers import Integral, Real

from lab_services.report import numbers
from lab_services.report.stats import Interval

_SHOULD = (
    "Give the interval and not its `.value` (from ratio, proportion, t_interval, paired_ratio, "
    "resampled, or from two intervals by `.over` and `.minus`); int(...) where it was counted."
)
_RIVAL = 'rival=("the network is what costs: a hit saves nothing", 1.0)'
_OF_THIS_MACHINE = ("s", "requests/s")
# Bounds that every number of a unit keeps; a share may be a difference of two.
_KEPT_BY_ALL = {"ratio": (0, math.inf), "share": (-1, 1)}


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
    """Another explanation, and the ends between which it predicts what is found.

    `note` says why a prediction that comes from this run is not known, or what speaks against it.
    """

    text: str
    low: float
    high: float
    unit: str = ""
    from_this_run: bool = False
    note: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({_between(self.low, self.high, self.unit)})"


@dataclass(frozen=True)
class Claim:
    """A statement with what was measured and the bounds it must keep (in the measured unit).

    Its rival is another explanation, whose prediction the bounds exclude. Raises ValueError where
    they do not, where whatever is found keeps them, and for what only one machine could keep.
    """

    text: str
    kind: Kind
    measured: Interval
    least: float
    most: float
    rival: Rival

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(
                f"The claim {self.text!r} has its bounds in the wrong order: between="
                f"({self.least:g}, {self.most:g}). The lower end comes first."
            )
        ends = [end for end in (self.least, self.most) if math.isfinite(end) and end]
        if self.kind is Kind.MEASURED and self.measured.unit in _OF_THIS_MACHINE and ends:
            raise ValueError(
                f"The claim {self.text!r} has a bound in {self.measured.unit}, which another "
                "machine does not keep. State it as a ratio to something measured in the same run."
            )
        lowest, highest = _KEPT_BY_ALL.get(self.measured.unit, (-math.inf, math.inf))
        if self._bounded and self.least <= lowest and self.most >= highest:
            raise ValueError(
                f"The claim {self.text!r} is kept by whatever is found: no {self.measured.unit} "
                f"is outside of {self.bound}."
            )
        if self._bounded and self._rival_passes and not self.rival.from_this_run:
            raise ValueError(
                f"The claim {self.text!r} would hold if its rival were true: {self.rival}, and the "
                f"bound is {self.bound}. Move the bound between what the two predict, or measure "
                "something on which they differ. What this run predicts is given as an interval: "
                "Interval.exact(number)."
            )

    @property
    def verdict(self) -> Verdict:
        """Holds where the whole interval keeps the bounds, fails where none of it does.

        Anything between is not enough evidence, and so is a measurement with a note (its
        traffic was not what was asked for) or without a known interval, and a bound that is not
        known because it was computed from what could not be measured. What would hold does not
        where its rival's prediction comes from this run and is not known, or keeps the bounds too.
        """
        if self._doubt:
            return Verdict.NOT_ENOUGH
        if self.measured.high < self.least or self.measured.low > self.most:
            return Verdict.FAILS
        return Verdict.HOLDS if self._keeps and not self._of_the_rival else Verdict.NOT_ENOUGH

    @property
    def _bounded(self) -> bool:
        ends = (self.least, self.most)
        return any(map(math.isfinite, ends)) and not any(map(math.isnan, ends))

    @property
    def _counted(self) -> bool:
        return isinstance(self.measured.value, Integral)

    @property
    def _keeps(self) -> bool:
        """Whether all of the interval is within the bounds.

        Where the rival predicts a bound itself, as "no effect" predicts a difference of 0, an
        interval must lie off that bound.
        """
        low, high = self.measured.low, self.measured.high
        above = low > self.least if self.rival.high == self.least else low >= self.least
        below = high < self.most if self.rival.low == self.most else high <= self.most
        return above and below

    @property
    def _rival_passes(self) -> bool:
        """Whether something that the rival predicts keeps the bounds; of a count, also just so."""
        rival = self.rival
        if self._counted or self.least == self.most:
            return rival.low <= self.most and rival.high >= self.least
        return rival.low < self.most and rival.high > self.least

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
        if found.low == found.high and not self._counted:
            return "its interval has no width, though it was not counted"
        return ""

    @property
    def _of_the_rival(self) -> str:
        """Why the claim cannot hold against its rival; nothing where it can."""
        if self.rival.note:
            return f"of the rival: {self.rival.note}"
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
            against = self._of_the_rival if self._keeps else ""
            return self._doubt or against or "the interval reaches over the bound"
        # The end that lies nearest to the bound: the least by which the claim is missed.
        missed = (
            self.least - self.measured.high
            if self.measured.high < self.least
            else self.measured.low - self.most
        )
        return f"misses the bound by at least {numbers.written(missed, self.measured.unit)}"


def as_interval(about: str, found: object) -> Interval:
    """What a statement (`about`: "The claim ...") is about: an interval, or a count, an integer.

    None and nan are not known. Raises ValueError for any other number, which is an estimate that
    has lost its interval, and for what is no number.
    """
    if isinstance(found, Interval):
        return found
    if found is None:
        return Interval.exact(None)
    if isinstance(found, bool) or not isinstance(found, Real):
        raise ValueError(f"{about} is about {found!r}, which is no number. {_SHOULD}")
    if isinstance(found, Integral):
        return Interval.exact(int(found))
    if not math.isfinite(found):
        return Interval.exact(float(found))
    raise ValueError(
        f"{about} is about the bare number {found:.6g}, which says nothing of how sure it is. "
        f"{_SHOULD}"
    )


def as_rival(text: str, rival: object, unit: str) -> Rival:
    """The rival of the claim of this `text`: its sentence, and what it predicts in `unit`.

    That is a number, a pair of ends, or an interval where it comes from this run; nan is not known.
    Raises ValueError for another form, for what no claim in this unit could be, and where there is
    none.
    """
    if not (isinstance(rival, tuple | list) and len(rival) == 2 and isinstance(rival[0], str)):
        raise ValueError(
            f"The claim {text!r} needs a rival: another explanation in one sentence, and the "
            f"number, or the pair (low, high), that it predicts: {_RIVAL}."
        )
    sentence, predicted = rival
    if not sentence.strip():
        raise ValueError(f"The rival of {text!r} has no sentence: {_RIVAL}.")
    if isinstance(predicted, Interval):
        if predicted.known and unit and predicted.unit not in ("", unit):
            raise ValueError(
                f"The rival of {text!r} predicts {predicted}, and the claim is in {unit!r}. "
                "Give both in one unit."
            )
        return Rival(sentence, predicted.low, predicted.high, unit, True, predicted.note)
    ends = predicted if isinstance(predicted, tuple | list) else (predicted, predicted)
    if len(ends) != 2 or not all(isinstance(e, Real) and not isinstance(e, bool) for e in ends):
        raise ValueError(f"The rival of {text!r} predicts {predicted!r}, not a number or two ends.")
    low, high = map(float, ends)
    if math.isnan(low) or math.isnan(high):
        return Rival(sentence, math.nan, math.nan, unit, from_this_run=True)
    if low > high or not (math.isfinite(low) or math.isfinite(high)):
        raise ValueError(
            f"The rival of {text!r} predicts {predicted!r}: give the lower end first, and one that "
            "is a number."
        )
    if unit == "share" and not (low <= 1 and high >= -1):
        raise ValueError(f"The rival of {text!r} predicts {predicted!r}, which no share can be.")
    return Rival(sentence, low, high, unit)


def _between(low: float, high: float, unit: str) -> str:
    least, most = numbers.rounded(low, unit), numbers.rounded(high, unit)
    if math.isnan(low) or math.isnan(high):
        return numbers.UNKNOWN
    if low == high:
        return least
    if math.isinf(high):
        return f"at least {least}"
    return f"at most {most}" if math.isinf(low) else f"{least} to {most}"
