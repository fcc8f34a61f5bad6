"""Places of boxes and ways of arrows: two columns at most, so that a phone shows them readably."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 150, 62
HEAD = 26  # height of the first row, which is one line of text
GAP_X, GAP_Y = 24, 40
MARGIN = 20  # at every side; arrows that pass boxes run in it
_COLUMNS = 2

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A box by its left upper corner, its row and its height."""

    x: float
    y: float
    row: int
    height: float = HEIGHT

    @property
    def center(self) -> float:
        return self.x + WIDTH / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(frozen=True)
class Layout:
    """The places of all boxes on a sheet."""

    boxes: Mapping[str, Box]
    width: float
    height: float

    def way(self, caller: str, callee: str) -> list[Point]:
        """The corners of the arrow between two boxes; it crosses no third one."""
        start, end = self.boxes[caller], self.boxes[callee]
        if end.row == start.row + 1:
            return [(start.center, start.bottom), (end.center, end.y)]
        passed = range(min(start.row, end.row) + 1, max(start.row, end.row))
        turn = start.bottom + GAP_Y * 0.3
        gutter = self.width / 2
        if start.row < end.row and all(self._is_split(row) for row in passed):
            if not self._is_split(end.row):
                return [(start.center, start.bottom), (start.center, turn), (gutter, turn),
                        (gutter, end.y)]  # fmt: skip
            channel, side = gutter, end.x if end.center > gutter else end.x + WIDTH
        elif end.center < gutter or (end.center == gutter and start.row == 0):
            # What comes from outside takes the left side, where calls between services do not.
            channel, side = MARGIN * 0.4, end.x
        else:
            channel, side = self.width - MARGIN * 0.4, end.x + WIDTH
        return [
            (start.center, start.bottom),
            (start.center, turn),
            (channel, turn),
            (channel, end.middle),
            (side, end.middle),
        ]

    def _is_split(self, row: int) -> bool:
        return sum(box.row == row for box in self.boxes.values()) == _COLUMNS


def arrange(layers: Sequence[Sequence[str]]) -> Layout:
    """Boxes in rows, the first layer on top; a layer that is too wide takes several rows."""
    rows = [
        layer[first : first + _COLUMNS]
        for layer in layers
        for first in range(0, len(layer), _COLUMNS)
    ]
    columns = max(len(row) for row in rows)
    width = columns * (WIDTH + GAP_X) - GAP_X + 2 * MARGIN
    boxes: dict[str, Box] = {}
    y = 4.0
    for number, row in enumerate(rows):
        left = (width - len(row) * (WIDTH + GAP_X) + GAP_X) / 2
        height = HEIGHT if number else HEAD
        for column, name in enumerate(row):
            boxes[name] = Box(left + column * (WIDTH + GAP_X), y, number, height)
        y += height + GAP_Y
    return Layout(boxes, width, y - GAP_Y + MARGIN)
