"""The sizes that are measured, smallest first where setups count: batch, time, features, units."""

Size = tuple[int, ...]

CELLS = [  # from one row of few units to one whose weights fill a cache
    (1, 1000, 1, 32),
    (1, 1000, 8, 128),
    (8, 200, 8, 64),
    (32, 100, 16, 64),
    (64, 200, 32, 128),
    (128, 100, 64, 256),
    (1, 500, 64, 512),
]
TRACKED = [(1, 1000, 1, 32), (8, 1000, 1, 8), (1, 1000, 8, 128), (32, 100, 16, 64), (64, 200, 32, 128)]  # by asv
USUAL = (32, 100, 16, 64)  # of what asv tracks at one size
NORMALIZED = [(32, 100, 16, 64), (64, 200, 32, 128)]
LAYERS = [(1, 1000, 8, 128), (32, 100, 16, 64), (64, 200, 32, 128)]
NOISE = [(1, 1000, 8, 128), (8, 200, 8, 64), (64, 200, 32, 128), (1, 500, 64, 512)]
UNITS = [(batch, 100, 16, units) for batch in (1, 32) for units in (16, 32, 64, 128, 256, 512, 1024)]
PEAK = (128, 100, 64, 256)
PADDED = (64, 400, 32, 128)
LONG = (1, 1_000_000, 8, 64)
CALL = (1, 1, 4, 8)
STEP = (1, 1, 8, 64)
PARTS = [(64, 200, 32, 128), (1, 1000, 8, 128)]  # of a gradient
CHECKPOINTS = (8, 10_000, 32, 128)
WORKERS = (4096, 200, 32, 128)
RESERVOIR_STEPS, RESERVOIR_UNITS = 5000, [100, 300, 1000, 3000]


def text(size: Size) -> str:
    """Return a size as tables show it."""
    return ", ".join(map(str, size))


def numbers(shown: str) -> Size:
    """Return a size from its text."""
    return tuple(map(int, shown.split(",")))


def label(size: Size) -> str:
    """Return a size as asv's pages show it, ``B=1 T=1000 F=8 U=128``."""
    return " ".join(f"{letter}={number}" for letter, number in zip("BTFU", size, strict=False))


def labelled(shown: str) -> Size:
    """Return a size from its label."""
    return tuple(int(part.partition("=")[2]) for part in shown.split())
