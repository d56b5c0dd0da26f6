"""Functions of tasks on a chunk of series: measure, fold over a season, run a reservoir and add its sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np

from rnnkit.distributed.shipping import ShippedLayer, share
from rnnkit.forecast.fitting.readout import NormalEquations, all_ahead, quartered
from rnnkit.forecast.fitting.scale import LEAST, Scale
from rnnkit.forecast.fitting.season import season_power, turnings
from rnnkit.forecast.models.echo_state import Reader
from rnnkit.layers.rnn import RNN

PARTS = 5  # four quarters, and the rest


class Place(NamedTuple):
    """Position of a chunk, with the leads and the washout of the fit."""

    row: int
    start: int
    leads: int
    washout: int


class Steps(NamedTuple):
    """A chunk of series and the values after it."""

    values: np.ndarray  # (B, T + leads), NaN where missing, and after the last chunk
    place: Place

    @classmethod
    def of(cls, values, place: Place, *heads) -> Steps:
        """Append the heads of the following chunks to a chunk."""
        values = np.asarray(values, np.float64)
        if np.isinf(values).any():
            row = place.row + int(np.argmax(np.isinf(values).any(axis=1)))
            raise ValueError(
                f"expected y to be finite, NaN where a value is missing; got an infinite value in row {row}"
            )
        longer = np.full((len(values), values.shape[1] + place.leads), np.nan)
        behind = np.concatenate([values, *heads], axis=1)[:, : longer.shape[1]]
        longer[:, : behind.shape[1]] = behind
        return cls(longer, place)

    @property
    def own(self) -> np.ndarray:
        """The values of the chunk ``(B, T)``."""
        return self.values[:, : self.values.shape[1] - self.place.leads]

    @property
    def times(self) -> np.ndarray:
        """The times of all values ``(B, T + leads)``."""
        return np.broadcast_to(self.place.start + np.arange(self.values.shape[1]), self.values.shape)

    @property
    def teaching(self) -> tuple[np.ndarray, np.ndarray]:
        """Masks ``(B, T)`` of the training steps, and of those with all their targets."""
        rows = ~np.isnan(self.own) & (self.times[:, : self.own.shape[1]] >= self.place.washout)
        return rows, rows & all_ahead(~np.isnan(self.values[:, 1:]), self.place.leads)


class Stretch(NamedTuple):
    """Sums over a stretch of series ``(B,)`` each, which `scale_of` combines to their scale.

    Each stretch has a straight line of its own. Squared residuals from any other line follow from these numbers without
    cancellation.
    """

    values: np.ndarray  # number of known values
    middle: np.ndarray  # their mean time, 0 without any
    level: np.ndarray  # their mean
    power: np.ndarray  # the sum of squares of their times, from the middle
    slope: np.ndarray  # of the line
    rest: np.ndarray  # the sum of squared residuals of the line
    largest: np.ndarray  # the largest absolute value

    @classmethod
    def of(cls, values, first: int) -> Stretch:
        """Measure values ``(B, T)``, NaN where missing, from the time `first` on."""
        known = ~np.isnan(values)
        count = known.sum(axis=1)
        some = np.maximum(count, 1)
        times = np.broadcast_to(first + np.arange(values.shape[1], dtype=np.float64), values.shape)
        middle, level = np.sum(times, axis=1, where=known) / some, np.sum(values, axis=1, where=known) / some
        off, above = times - middle[:, None], values - level[:, None]
        power = np.sum(off**2, axis=1, where=known)
        slope = np.sum(off * above, axis=1, where=known) / np.where(power > 0, power, 1.0)
        rest = np.sum((above - slope[:, None] * off) ** 2, axis=1, where=known)
        largest = np.max(np.abs(values), axis=1, where=known, initial=0.0)
        return cls(count, middle, level, power, slope, rest, largest)


def scale_of(parts: Sequence[Stretch]) -> Scale:
    """Make a scale from consecutive stretches of the series, equal to that of the whole up to rounding."""
    count, middle, level, power, slope, rest, largest = (np.stack(found) for found in zip(*parts, strict=True))
    total = count.sum(axis=0)
    whole_middle, whole_level = (count * middle).sum(axis=0) / total, (count * level).sum(axis=0) / total
    off, above = middle - whole_middle, level - whole_level
    denominator = (power + count * off**2).sum(axis=0)
    numerator = (slope * power + count * off * above).sum(axis=0)
    enough = (denominator > 0) & (total >= LEAST)
    line = np.where(enough, numerator / np.where(denominator > 0, denominator, 1.0), 0.0)
    squares = rest + count * (above - line * off) ** 2 + power * (slope - line) ** 2
    spread = np.sqrt(squares.sum(axis=0) / total)
    return Scale.checked(whole_middle, whole_level, line, spread, largest.max(axis=0))


class Reading(NamedTuple):
    """Inputs of a readout besides the reservoir's states."""

    period: float
    harmonics: int
    features: int  # of the readout


class Measured(NamedTuple):
    """Measures of a chunk before the reservoir runs."""

    stretch: Stretch
    rows: np.ndarray  # (B,), number of training steps
    whole: np.ndarray  # (B,), number of those with all their targets


class Carried(NamedTuple):
    """State passed from a chunk to the next."""

    states: np.ndarray  # (B, units)
    last: np.ndarray  # (B,), the last step read
    inputs: np.ndarray  # (B, 1), the inputs at that step


class Share(NamedTuple):
    """Division of a chunk's steps among the quarters of their series."""

    by_whole: bool  # whether quarters hold only steps with all their targets
    before: np.ndarray  # (B,), number of steps in quarters before the chunk
    total: np.ndarray  # (B,), number in all


class ExactEquations(NormalEquations):
    """Normal equations with sums as chains of multiply-adds: the same bits on every processor."""

    def _add_rows(self, features, targets, whole) -> None:
        self.add_products(features[whole, 1:], targets[whole])
        if not whole.all():
            self.moment += products(features[~whole, 1:], targets[~whole])[:, features.shape[1] :]

    def add_products(self, rows, targets) -> None:
        """Add the products of rows without the intercept's ones, of which no target is missing."""
        if len(rows):
            found = products(rows, targets)
            self.shared += found[:, : 1 + rows.shape[1]]
            self.moment += found[:, 1 + rows.shape[1] :]

    def _added(self, gram, features) -> np.ndarray:
        return gram + products(features[:, 1:], features[:, :0]) if len(features) else gram


def products(features, targets) -> np.ndarray:
    """Return the matrix product, each element one chain of multiply-adds over the rows, unlike BLAS."""
    from rnnkit.backends.cpu.compile import outer_products
    from rnnkit.backends.cpu.kernels.matmul import packed_width
    from rnnkit.backends.cpu.simd.aligned import aligned
    from rnnkit.backends.cpu.weight_sums import OuterSum

    dtype = np.dtype(np.float64)
    count, width = features.shape[1], 1 + features.shape[1] + targets.shape[1]
    space = len(features), packed_width(width, dtype)
    rows = aligned(space[0] * space[1], dtype).reshape(space)
    rows[:, 0], rows[:, 1 : 1 + count], rows[:, 1 + count : width], rows[:, width:] = 1.0, features, targets, 0.0
    sums = OuterSum(outer_products(dtype.name), 1 + count, width)
    starts = rows.strides[0] * np.arange(len(rows))
    sums.add(rows, rows, np.column_stack([starts, starts]))
    return np.array(sums.total)


def head(values, leads: int) -> np.ndarray:
    """Return the first steps of a chunk."""
    return np.asarray(values[:, :leads], np.float64)


def measured(steps: Steps) -> Measured:
    """Return the scale sums of a chunk's series, and their numbers of training steps."""
    rows, whole = steps.teaching
    return Measured(Stretch.of(steps.own, steps.place.start), rows.sum(axis=1), whole.sum(axis=1))


def folded(steps: Steps, scale: Scale, season: int) -> tuple[int, np.ndarray]:
    """Return the first season that overlaps a chunk, and the result of `turnings`."""
    first, own = steps.place.start, steps.own
    return first // season, turnings(scale.standardise(own, steps.times[:, : own.shape[1]]), season, first)


def power(season: int, seasons: int, *parts: tuple[int, np.ndarray]) -> np.ndarray:
    """Return the power of a block of rows, from all their chunks; an incomplete last season is left out."""
    harmonics, rows, _ = parts[0][1].shape
    turned = np.zeros((harmonics, rows, seasons), np.complex128)
    for first, part in parts:
        inside = part[:, :, : max(seasons - first, 0)]
        turned[:, :, first : first + inside.shape[2]] += inside
    return season_power(turned, season).sum(axis=0)


def run(steps: Steps, shipped: ShippedLayer, reading: Reading, scale: Scale, share_of: Share, before):
    """Run the reservoir over a chunk, from the state of the previous chunk, None for the first.

    It returns the state, and the sums of the parts that have steps in the chunk, by number.
    """
    own, first = steps.own, steps.place.start
    z, known = scale.standardise(steps.values, steps.times), ~np.isnan(own)
    rows, whole = steps.teaching
    use = quartered(whole if share_of.by_whole else rows, rows, share_of.before, share_of.total)
    numbers = [number for number in range(PARTS) if (use == number).any()]
    inputs = z[:, : own.shape[1], None]
    with share():
        reader = Reader(cast(RNN, shipped.layer()), reading.period, reading.harmonics)
        sums = {number: ExactEquations(reading.features, steps.place.leads) for number in numbers}
        states = None if before is None else before.states
        states = reader.add(sums, inputs, known, use, z[:, 1:], states, first)
    last = own.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    here, there = (first + last, inputs[np.arange(len(own)), last]), known.any(axis=1)
    if before is not None:
        here = np.where(there, here[0], before.last), np.where(there[:, None], here[1], before.inputs)
    return Carried(states, *here), sums


def added(*parts):
    """Add arrays or sums in order."""
    return sum(parts[1:], parts[0])


def added_parts(*found: dict[int, NormalEquations]) -> dict[int, NormalEquations]:
    """Add sums in order, part by part."""
    total: dict[int, NormalEquations] = {}
    for parts in found:
        for number, one in parts.items():
            total[number] = total[number] + one if number in total else one
    return total


def all_parts(found: dict[int, NormalEquations], features: int, leads: int) -> list[NormalEquations]:
    """Return the sums of all parts; zeros for one without steps."""
    return [found.get(number, ExactEquations(features, leads)) for number in range(PARTS)]
