"""A network of sixty numbers, each with an expression of its own."""

import numpy as np
from numba import prange

from .recurrence import Recurrence

DT = 0.1


def sixty_scalars(x, states):
    """Sixty genes that switch each other, an expression each, by Euler's method (Alon 2020)."""
    # fmt: off
    (
        g00, g01, g02, g03, g04, g05, g06, g07, g08, g09, g10, g11,
        g12, g13, g14, g15, g16, g17, g18, g19, g20, g21, g22, g23,
        g24, g25, g26, g27, g28, g29, g30, g31, g32, g33, g34, g35,
        g36, g37, g38, g39, g40, g41, g42, g43, g44, g45, g46, g47,
        g48, g49, g50, g51, g52, g53, g54, g55, g56, g57, g58, g59,
    ) = states
    # fmt: on
    n00 = g00 + DT * (0.19 / (1 + g59 * g59) - 0.36 * g00 + x[0])
    n01 = g01 + DT * (0.29 * g00 / (1 + g59) - 0.35 * g01)
    n02 = g02 + DT * (0.26 * g01 * g00 - 0.85 * g02 * g02)
    n03 = g03 + DT * (0.19 * (g02 - g03) + 0.62 * (g58 - g03))
    n04 = g04 + DT * (0.41 + g03 * g59 / (2 + g04) - 0.8 * g04)
    n05 = g05 + DT * (0.19 * g04 / (1 + g04 + g00 * g00) - 0.86 * g05)
    n06 = g06 + DT * (0.42 / (1 + g05 * g05) - 0.42 * g06)
    n07 = g07 + DT * (0.22 * g06 / (1 + g02) - 0.82 * g07)
    n08 = g08 + DT * (0.13 * g07 * g01 - 0.66 * g08 * g08)
    n09 = g09 + DT * (0.3 * (g08 - g09) + 0.41 * (g02 - g09))
    n10 = g10 + DT * (0.21 + g09 * g05 / (2 + g10) - 0.87 * g10 + x[0])
    n11 = g11 + DT * (0.1 * g10 / (1 + g10 + g06 * g06) - 0.48 * g11)
    n12 = g12 + DT * (0.44 / (1 + g11 * g11) - 0.61 * g12)
    n13 = g13 + DT * (0.27 * g12 / (1 + g06) - 0.47 * g13)
    n14 = g14 + DT * (0.16 * g13 * g12 - 0.48 * g14 * g14)
    n15 = g15 + DT * (0.13 * (g14 - g15) + 0.58 * (g10 - g15))
    n16 = g16 + DT * (0.31 + g15 * g11 / (2 + g16) - 0.69 * g16)
    n17 = g17 + DT * (0.16 * g16 / (1 + g16 + g15 * g15) - 0.7 * g17)
    n18 = g18 + DT * (0.27 / (1 + g17 * g17) - 0.42 * g18)
    n19 = g19 + DT * (0.21 * g18 / (1 + g14) - 0.51 * g19)
    n20 = g20 + DT * (0.35 * g19 * g15 - 0.42 * g20 * g20 + x[0])
    n21 = g21 + DT * (0.14 * (g20 - g21) + 0.34 * (g18 - g21))
    n22 = g22 + DT * (0.21 + g21 * g19 / (2 + g22) - 0.65 * g22)
    n23 = g23 + DT * (0.15 * g22 / (1 + g22 + g18 * g18) - 0.86 * g23)
    n24 = g24 + DT * (0.28 / (1 + g23 * g23) - 0.33 * g24)
    n25 = g25 + DT * (0.46 * g24 / (1 + g20) - 0.87 * g25)
    n26 = g26 + DT * (0.11 * g25 * g23 - 0.47 * g26 * g26)
    n27 = g27 + DT * (0.41 * (g26 - g27) + 0.55 * (g25 - g27))
    n28 = g28 + DT * (0.22 + g27 * g21 / (2 + g28) - 0.41 * g28)
    n29 = g29 + DT * (0.22 * g28 / (1 + g28 + g26 * g26) - 0.45 * g29)
    n30 = g30 + DT * (0.23 / (1 + g29 * g29) - 0.31 * g30 + x[0])
    n31 = g31 + DT * (0.28 * g30 / (1 + g26) - 0.52 * g31)
    n32 = g32 + DT * (0.5 * g31 * g25 - 0.64 * g32 * g32)
    n33 = g33 + DT * (0.49 * (g32 - g33) + 0.55 * (g30 - g33))
    n34 = g34 + DT * (0.15 + g33 * g31 / (2 + g34) - 0.34 * g34)
    n35 = g35 + DT * (0.34 * g34 / (1 + g34 + g33 * g33) - 0.88 * g35)
    n36 = g36 + DT * (0.32 / (1 + g35 * g35) - 0.65 * g36)
    n37 = g37 + DT * (0.5 * g36 / (1 + g32) - 0.37 * g37)
    n38 = g38 + DT * (0.41 * g37 * g35 - 0.55 * g38 * g38)
    n39 = g39 + DT * (0.29 * (g38 - g39) + 0.45 * (g32 - g39))
    n40 = g40 + DT * (0.3 + g39 * g33 / (2 + g40) - 0.43 * g40 + x[0])
    n41 = g41 + DT * (0.2 * g40 / (1 + g40 + g38 * g38) - 0.83 * g41)
    n42 = g42 + DT * (0.3 / (1 + g41 * g41) - 0.32 * g42)
    n43 = g43 + DT * (0.2 * g42 / (1 + g40) - 0.62 * g43)
    n44 = g44 + DT * (0.27 * g43 * g39 - 0.46 * g44 * g44)
    n45 = g45 + DT * (0.12 * (g44 - g45) + 0.86 * (g43 - g45))
    n46 = g46 + DT * (0.5 + g45 * g44 / (2 + g46) - 0.54 * g46)
    n47 = g47 + DT * (0.3 * g46 / (1 + g46 + g44 * g44) - 0.36 * g47)
    n48 = g48 + DT * (0.47 / (1 + g47 * g47) - 0.64 * g48)
    n49 = g49 + DT * (0.23 * g48 / (1 + g44) - 0.69 * g49)
    n50 = g50 + DT * (0.43 * g49 * g45 - 0.62 * g50 * g50 + x[0])
    n51 = g51 + DT * (0.24 * (g50 - g51) + 0.54 * (g44 - g51))
    n52 = g52 + DT * (0.13 + g51 * g49 / (2 + g52) - 0.88 * g52)
    n53 = g53 + DT * (0.12 * g52 / (1 + g52 + g50 * g50) - 0.84 * g53)
    n54 = g54 + DT * (0.41 / (1 + g53 * g53) - 0.46 * g54)
    n55 = g55 + DT * (0.45 * g54 / (1 + g48) - 0.71 * g55)
    n56 = g56 + DT * (0.33 * g55 * g49 - 0.75 * g56 * g56)
    n57 = g57 + DT * (0.19 * (g56 - g57) + 0.3 * (g54 - g57))
    n58 = g58 + DT * (0.11 + g57 * g56 / (2 + g58) - 0.83 * g58)
    n59 = g59 + DT * (0.26 * g58 / (1 + g58 + g52 * g52) - 0.76 * g59)
    # fmt: off
    return n59, (
        n00, n01, n02, n03, n04, n05, n06, n07, n08, n09, n10, n11,
        n12, n13, n14, n15, n16, n17, n18, n19, n20, n21, n22, n23,
        n24, n25, n26, n27, n28, n29, n30, n31, n32, n33, n34, n35,
        n36, n37, n38, n39, n40, n41, n42, n43, n44, n45, n46, n47,
        n48, n49, n50, n51, n52, n53, n54, n55, n56, n57, n58, n59,
    )
    # fmt: on


def sixty_scalars_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    dt, one, two = real(DT), real(1.0), real(2.0)
    out = np.empty((rows, steps), x.dtype)
    for row in prange(rows):
        g00 = g01 = g02 = g03 = g04 = g05 = g06 = g07 = g08 = g09 = g10 = g11 = real(0.5)
        g12 = g13 = g14 = g15 = g16 = g17 = g18 = g19 = g20 = g21 = g22 = g23 = real(0.5)
        g24 = g25 = g26 = g27 = g28 = g29 = g30 = g31 = g32 = g33 = g34 = g35 = real(0.5)
        g36 = g37 = g38 = g39 = g40 = g41 = g42 = g43 = g44 = g45 = g46 = g47 = real(0.5)
        g48 = g49 = g50 = g51 = g52 = g53 = g54 = g55 = g56 = g57 = g58 = g59 = real(0.5)
        for t in range(steps):
            n00 = g00 + dt * (real(0.19) / (one + g59 * g59) - real(0.36) * g00 + x[row, t, 0])
            n01 = g01 + dt * (real(0.29) * g00 / (one + g59) - real(0.35) * g01)
            n02 = g02 + dt * (real(0.26) * g01 * g00 - real(0.85) * g02 * g02)
            n03 = g03 + dt * (real(0.19) * (g02 - g03) + real(0.62) * (g58 - g03))
            n04 = g04 + dt * (real(0.41) + g03 * g59 / (two + g04) - real(0.8) * g04)
            n05 = g05 + dt * (real(0.19) * g04 / (one + g04 + g00 * g00) - real(0.86) * g05)
            n06 = g06 + dt * (real(0.42) / (one + g05 * g05) - real(0.42) * g06)
            n07 = g07 + dt * (real(0.22) * g06 / (one + g02) - real(0.82) * g07)
            n08 = g08 + dt * (real(0.13) * g07 * g01 - real(0.66) * g08 * g08)
            n09 = g09 + dt * (real(0.3) * (g08 - g09) + real(0.41) * (g02 - g09))
            n10 = g10 + dt * (real(0.21) + g09 * g05 / (two + g10) - real(0.87) * g10 + x[row, t, 0])
            n11 = g11 + dt * (real(0.1) * g10 / (one + g10 + g06 * g06) - real(0.48) * g11)
            n12 = g12 + dt * (real(0.44) / (one + g11 * g11) - real(0.61) * g12)
            n13 = g13 + dt * (real(0.27) * g12 / (one + g06) - real(0.47) * g13)
            n14 = g14 + dt * (real(0.16) * g13 * g12 - real(0.48) * g14 * g14)
            n15 = g15 + dt * (real(0.13) * (g14 - g15) + real(0.58) * (g10 - g15))
            n16 = g16 + dt * (real(0.31) + g15 * g11 / (two + g16) - real(0.69) * g16)
            n17 = g17 + dt * (real(0.16) * g16 / (one + g16 + g15 * g15) - real(0.7) * g17)
            n18 = g18 + dt * (real(0.27) / (one + g17 * g17) - real(0.42) * g18)
            n19 = g19 + dt * (real(0.21) * g18 / (one + g14) - real(0.51) * g19)
            n20 = g20 + dt * (real(0.35) * g19 * g15 - real(0.42) * g20 * g20 + x[row, t, 0])
            n21 = g21 + dt * (real(0.14) * (g20 - g21) + real(0.34) * (g18 - g21))
            n22 = g22 + dt * (real(0.21) + g21 * g19 / (two + g22) - real(0.65) * g22)
            n23 = g23 + dt * (real(0.15) * g22 / (one + g22 + g18 * g18) - real(0.86) * g23)
            n24 = g24 + dt * (real(0.28) / (one + g23 * g23) - real(0.33) * g24)
            n25 = g25 + dt * (real(0.46) * g24 / (one + g20) - real(0.87) * g25)
            n26 = g26 + dt * (real(0.11) * g25 * g23 - real(0.47) * g26 * g26)
            n27 = g27 + dt * (real(0.41) * (g26 - g27) + real(0.55) * (g25 - g27))
            n28 = g28 + dt * (real(0.22) + g27 * g21 / (two + g28) - real(0.41) * g28)
            n29 = g29 + dt * (real(0.22) * g28 / (one + g28 + g26 * g26) - real(0.45) * g29)
            n30 = g30 + dt * (real(0.23) / (one + g29 * g29) - real(0.31) * g30 + x[row, t, 0])
            n31 = g31 + dt * (real(0.28) * g30 / (one + g26) - real(0.52) * g31)
            n32 = g32 + dt * (real(0.5) * g31 * g25 - real(0.64) * g32 * g32)
            n33 = g33 + dt * (real(0.49) * (g32 - g33) + real(0.55) * (g30 - g33))
            n34 = g34 + dt * (real(0.15) + g33 * g31 / (two + g34) - real(0.34) * g34)
            n35 = g35 + dt * (real(0.34) * g34 / (one + g34 + g33 * g33) - real(0.88) * g35)
            n36 = g36 + dt * (real(0.32) / (one + g35 * g35) - real(0.65) * g36)
            n37 = g37 + dt * (real(0.5) * g36 / (one + g32) - real(0.37) * g37)
            n38 = g38 + dt * (real(0.41) * g37 * g35 - real(0.55) * g38 * g38)
            n39 = g39 + dt * (real(0.29) * (g38 - g39) + real(0.45) * (g32 - g39))
            n40 = g40 + dt * (real(0.3) + g39 * g33 / (two + g40) - real(0.43) * g40 + x[row, t, 0])
            n41 = g41 + dt * (real(0.2) * g40 / (one + g40 + g38 * g38) - real(0.83) * g41)
            n42 = g42 + dt * (real(0.3) / (one + g41 * g41) - real(0.32) * g42)
            n43 = g43 + dt * (real(0.2) * g42 / (one + g40) - real(0.62) * g43)
            n44 = g44 + dt * (real(0.27) * g43 * g39 - real(0.46) * g44 * g44)
            n45 = g45 + dt * (real(0.12) * (g44 - g45) + real(0.86) * (g43 - g45))
            n46 = g46 + dt * (real(0.5) + g45 * g44 / (two + g46) - real(0.54) * g46)
            n47 = g47 + dt * (real(0.3) * g46 / (one + g46 + g44 * g44) - real(0.36) * g47)
            n48 = g48 + dt * (real(0.47) / (one + g47 * g47) - real(0.64) * g48)
            n49 = g49 + dt * (real(0.23) * g48 / (one + g44) - real(0.69) * g49)
            n50 = g50 + dt * (real(0.43) * g49 * g45 - real(0.62) * g50 * g50 + x[row, t, 0])
            n51 = g51 + dt * (real(0.24) * (g50 - g51) + real(0.54) * (g44 - g51))
            n52 = g52 + dt * (real(0.13) + g51 * g49 / (two + g52) - real(0.88) * g52)
            n53 = g53 + dt * (real(0.12) * g52 / (one + g52 + g50 * g50) - real(0.84) * g53)
            n54 = g54 + dt * (real(0.41) / (one + g53 * g53) - real(0.46) * g54)
            n55 = g55 + dt * (real(0.45) * g54 / (one + g48) - real(0.71) * g55)
            n56 = g56 + dt * (real(0.33) * g55 * g49 - real(0.75) * g56 * g56)
            n57 = g57 + dt * (real(0.19) * (g56 - g57) + real(0.3) * (g54 - g57))
            n58 = g58 + dt * (real(0.11) + g57 * g56 / (two + g58) - real(0.83) * g58)
            n59 = g59 + dt * (real(0.26) * g58 / (one + g58 + g52 * g52) - real(0.76) * g59)
            g00, g01, g02, g03, g04, g05 = n00, n01, n02, n03, n04, n05
            g06, g07, g08, g09, g10, g11 = n06, n07, n08, n09, n10, n11
            g12, g13, g14, g15, g16, g17 = n12, n13, n14, n15, n16, n17
            g18, g19, g20, g21, g22, g23 = n18, n19, n20, n21, n22, n23
            g24, g25, g26, g27, g28, g29 = n24, n25, n26, n27, n28, n29
            g30, g31, g32, g33, g34, g35 = n30, n31, n32, n33, n34, n35
            g36, g37, g38, g39, g40, g41 = n36, n37, n38, n39, n40, n41
            g42, g43, g44, g45, g46, g47 = n42, n43, n44, n45, n46, n47
            g48, g49, g50, g51, g52, g53 = n48, n49, n50, n51, n52, n53
            g54, g55, g56, g57, g58, g59 = n54, n55, n56, n57, n58, n59
            out[row, t] = g59
    return out


def signals(rng, rows, steps, dtype):
    return rng.gamma(1.0, 0.2, (rows, steps, 1)).astype(dtype), ()


NAMES = tuple(f"g{k:02d}" for k in range(60))
RECURRENCES = (
    Recurrence(
        sixty_scalars,
        sixty_scalars_loop,
        signals,
        states=dict.fromkeys(NAMES, ()),
        initial=dict.fromkeys(NAMES, 0.5),
        jax_step=sixty_scalars,
    ),
)
