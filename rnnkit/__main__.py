"""``python -m rnnkit`` is the command `rnnkit`."""

import sys

from rnnkit.forecast.command.main import main

if __name__ == "__main__":
    sys.exit(main())
