"""Two small series in the public domain, for examples and for the forecast command.

Yearly sunspot numbers, 1700 to 2008, come from the Solar Influences Data Analysis Center (SIDC) at the Royal
Observatory of Belgium. Weekly averages of carbon dioxide in the air at Mauna Loa, Hawaii, March 1958 to December 2001,
come from the Scripps Institution of Oceanography (C. D. Keeling and T. P. Whorf) at NOAA's Mauna Loa Observatory.
"""

import csv
from pathlib import Path

import numpy as np

__all__ = [
    "load_co2",
    "load_sunspots",
]

FOLDER = Path(__file__).parent


def load_sunspots() -> tuple[np.ndarray, np.ndarray]:
    """Load yearly sunspot numbers, 1700 to 2008 (SIDC).

    Returns
    -------
    years : ndarray (309,) of int64
    sunspots : ndarray (309,) of float64
        Mean of the year's daily numbers, in the original counting (before its revision in 2015). No gaps.

    Examples
    --------
    >>> years, sunspots = load_sunspots()
    >>> int(years[-1]), float(sunspots[-1])
    (2008, 2.9)
    """
    years, sunspots = _columns("sunspots.csv")
    return np.array(years, dtype=np.int64), _numbers(sunspots)


def load_co2() -> tuple[np.ndarray, np.ndarray]:
    """Load weekly carbon dioxide at Mauna Loa, 1958 to 2001 (Scripps and NOAA).

    Returns
    -------
    weeks : ndarray (2284,) of datetime64[D]
        Saturdays, one after the other.
    co2 : ndarray (2284,) of float64
        Parts per million by volume; NaN in the 59 weeks without a measurement.

    Examples
    --------
    >>> weeks, co2 = load_co2()
    >>> str(weeks[0]), float(co2[0]), int(np.isnan(co2).sum())
    ('1958-03-29', 316.1, 59)
    """
    weeks, co2 = _columns("co2.csv")
    return np.array(weeks, dtype="datetime64[D]"), _numbers(co2)


def _columns(name) -> tuple[list[str], list[str]]:
    with open(FOLDER / name, encoding="ascii", newline="") as file:
        _, *rows = csv.reader(file)
    return [row[0] for row in rows], [row[1] for row in rows]


def _numbers(cells) -> np.ndarray:
    return np.array([float(cell) if cell else np.nan for cell in cells])
