"""``python -m rnnkit`` is the command `rnnkit`."""

import sys

from rnnkit.forecast.command import main

if __name__ == "__main__":
    sys.exit(main())
