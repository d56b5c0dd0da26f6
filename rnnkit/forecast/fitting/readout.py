"""Ridge regression from sums over rows, so that a few matrices represent any number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ENOUGH = 3  # least values for fitting a lead


class NormalEquations:
    """The sums of a least-squares problem with one target per lead, filled block by block; the first feature is 1.

    With features ``f_t`` and targets ``d_t``, over the rows with a target of lead h::

        gram_h = sum_t f_t f_tᵀ        moment[:, h] = sum_t f_t d_t[h]        power[h] = sum_t d_t[h]²

    Sums of two parts add up to those of the whole: one pass serves to fit on a first part, to judge on a second, and to
    solve on both. Of the symmetric matrices only the lower triangles are kept.
    """

    def __init__(self, features: int, leads: int):
        self.shared = np.zeros((features, features), order="F")  # of rows with all targets, the usual case
        self.extra: list[np.ndarray] | None = None  # of the other rows, per lead
        self.moment = np.zeros((features, leads))
        self.power = np.zeros(leads)
        self.count = np.zeros(leads, dtype=np.int64)

    def add(self, features, targets) -> None:
        """Add rows: features ``(rows, features)`` and targets ``(rows, leads)``, NaN where a target is missing."""
        if not len(features):
            return
        known = ~np.isnan(targets)
        filled = np.where(known, targets, 0.0)
        self.power += (filled**2).sum(axis=0)
        self.count += known.sum(axis=0)
        whole = known.all(axis=1)
        self._add_rows(features, filled, whole)
        if whole.all():
            return
        if self.extra is None:
            self.extra = [np.zeros_like(self.shared) for _ in self.count]
        partly = (known & ~whole[:, None]).T
        self.extra = [self._added(gram, features[rows]) for gram, rows in zip(self.extra, partly, strict=True)]

    def _add_rows(self, features, targets, whole) -> None:
        """Add the products of all rows with their targets, and the squares of the rows that are `whole`."""
        from scipy.linalg.blas import dgemm

        self.moment += dgemm(1.0, features.T, targets.T, trans_b=True)
        self.shared = self._added(self.shared, features if whole.all() else features[whole])

    def _added(self, gram, features) -> np.ndarray:
        """Return a matrix with the squares of more rows added."""
        from scipy.linalg.blas import dsyrk

        # Half the work of a product, and in place: the transpose of C-ordered rows is in Fortran's order.
        return dsyrk(1.0, features.T, beta=1.0, c=gram, lower=True, overwrite_c=True) if len(features) else gram

    def __add__(self, other: NormalEquations) -> NormalEquations:
        total = type(self)(*self.moment.shape)
        for name in ("shared", "moment", "power", "count"):
            setattr(total, name, getattr(self, name) + getattr(other, name))
        extras = [part.extra for part in (self, other) if part.extra is not None]
        total.extra = [sum(grams[1:], grams[0]) for grams in zip(*extras, strict=True)] if extras else None
        return total

    def gram(self, lead: int) -> np.ndarray:
        """Return the matrix ``(features, features)`` of one lead, its lower triangle."""
        return self.shared if self.extra is None else self.shared + self.extra[lead]

    def solve(self, strengths) -> np.ndarray:
        """Return the weights ``(..., features, leads)`` that minimise, per lead, the squared errors + strength · w².

        The strength is one for all, or for each feature ``(..., features)``; an infinite one leaves it out. Hoerl and
        Kennard (1970), "Ridge regression: biased estimation for nonorthogonal problems", equation 2.1.
        """
        strengths = strengths * np.ones(len(self.moment))
        weights = np.empty((*strengths.shape, self.moment.shape[1]))
        for leads in self._alike():
            gram, moments = self.gram(leads.start), self.moment[:, leads]
            penalties = penalized(gram, strengths)
            for place in np.ndindex(strengths.shape[:-1]):
                weights[place][:, leads] = solved(gram + np.diag(penalties[place]), moments)
        return weights

    def error(self, weights) -> np.ndarray:
        """Return the mean squared errors ``(..., leads)`` of weights on the added rows; 0 for a lead without any."""
        squares = self.power - 2 * (weights * self.moment).sum(axis=-2)
        for leads in self._alike():
            gram, part = self.gram(leads.start), weights[..., leads]
            whole = np.tril(gram) + np.tril(gram, -1).T
            squares[..., leads] += (part * (whole @ part)).sum(axis=-2)
        return np.maximum(squares, 0.0) / np.maximum(self.count, 1)

    def _alike(self) -> list[slice]:
        """Return the groups of leads that share a matrix: one of all leads, or one per lead."""
        count = len(self.count)
        return [slice(0, count)] if self.extra is None else [slice(lead, lead + 1) for lead in range(count)]


def penalized(gram, strengths) -> np.ndarray:
    """Return the penalties of features ``(..., features)`` by the strengths and a matrix ``(..., features, features)``.

    A smaller ridge vanishes in rounding and breaks the factorization; the intercept gets only this.
    """
    trace = np.trace(gram, axis1=-2, axis2=-1)[..., None]
    least = 1e-13 * trace + 1e-12
    penalties = np.where(np.isinf(strengths), 1e15 * (1 + trace), np.maximum(strengths, least))
    penalties[..., :1] = least
    return penalties


def ridge(gram, moments, strengths) -> np.ndarray:
    """Return the weights ``(N, features, leads)`` of many series, see `NormalEquations.solve`."""
    whole, every = gram.copy(), np.arange(gram.shape[-1])
    whole[:, every, every] += penalized(gram, strengths)
    return np.linalg.solve(whole, moments)


def solved(gram, moments) -> np.ndarray:
    """Return the solution of linear equations with a positive definite matrix, given by its lower triangle."""
    from scipy.linalg.lapack import dposv  # scipy.linalg.solve checks its arguments for longer than small ones take

    _, found, info = dposv(gram, moments, lower=True)
    if info:
        raise np.linalg.LinAlgError(f"expected a positive definite matrix; got one that isn't at row {info}")
    return found


def quarters(rows, known, horizon) -> np.ndarray:
    """Return the part of each step ``(B, T)``: 0 to 3 for the quarters that choose the strength, 4 for the rest.

    Steps without all targets are in the rest, unless most are: each lead would need its own matrices.
    """
    whole = rows & all_ahead(known, horizon)
    chosen = whole if mostly_whole(rows.sum(), whole.sum()) else rows
    return quartered(chosen, rows, np.zeros(len(rows), np.int64), chosen.sum(axis=1))


def all_ahead(known, horizon: int) -> np.ndarray:
    """Return whether each step has all its targets ``(B, T)``; `known` ``(B, T - 1 + H)`` is of the values after it."""
    sums = np.cumsum(np.pad(known, ((0, 0), (1, 0))), axis=1)
    return sums[:, horizon:] - sums[:, :-horizon] == horizon


def mostly_whole(rows: int, whole: int) -> bool:
    """Return whether most of the training steps have all their targets."""
    return 2 * int(whole) > int(rows)


def quartered(chosen, rows, before, count) -> np.ndarray:
    """Return the part of each step of a stretch ``(B, T)``: a quarter of the `chosen`, or 4 of other `rows`.

    `before` and `count` ``(B,)`` are the numbers of chosen steps before the stretch, and in all; -1 is outside.
    """
    place = before[:, None] + np.cumsum(chosen, axis=1) - 1
    quarter = 4 * place // np.maximum(count, 1)[:, None]
    return np.where(chosen, quarter, np.where(rows, 4, -1))


class Penalty(NamedTuple):
    """The ridge strengths of features, some of which are season terms."""

    features: int
    season: slice  # the season terms among them

    def of(self, strength: float, seasonal: bool) -> np.ndarray:
        """Return the strength of each feature ``(features,)``; infinite for season terms unless `seasonal`."""
        found = np.full(self.features, strength)
        if not seasonal:
            found[self.season] = np.inf
        return found

    def chosen(self, strengths: Sequence[float], parts: Sequence[NormalEquations]) -> tuple[float, bool]:
        """Return the strength and the use of season terms of least error on a quarter after a fit to those before it.

        The third and the fourth of the `parts` judge. Errors are relative to the least at each lead, as otherwise the
        far leads alone would decide.
        """
        choices = (True, False) if self.season.stop > self.season.start else (False,)
        candidates = [(strength, seasonal) for strength in strengths for seasonal in choices]
        penalties, errors = [self.of(*candidate) for candidate in candidates], np.zeros(len(candidates))
        before = parts[0] + parts[1]
        for quarter in parts[2:]:
            tried = quarter.error(before.solve(penalties))[:, quarter.count > 0]
            errors += (tried / np.maximum(tried.min(axis=0), np.finfo(float).tiny)).sum(axis=1)
            before = before + quarter
        return candidates[int(np.argmin(errors))]


def learnable(counts) -> int:
    """Return the number of leads, from the first on, with enough values to fit by ``counts (leads,)``; 1 at least."""
    enough = np.append(np.asarray(counts) >= ENOUGH, False)
    return max(int(np.argmin(enough)), 1)


def short_note(count: int, learned: int, horizon: int) -> str | None:
    """Return a note on series too short for all leads, from the values of lead 1 and the leads fitted, or None."""
    if count < ENOUGH:
        return "too few values to learn from: the forecast goes on as the series ended"
    if learned == horizon:
        return None
    said = "1 of {} leads" if learned == 1 else f"{learned} of {{}} leads"
    return f"{said.format(horizon)} had values to learn from; the others follow from them, step by step"
