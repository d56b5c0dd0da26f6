"""The words of a kernel's text: the device's, or those of numba's CUDA simulator."""

from numba import config

if config.ENABLE_CUDASIM:
    from rnnkit.backends.cuda.simulator.words import *  # noqa: F403
else:
    from rnnkit.backends.cuda.device.intrinsics import *  # noqa: F403
