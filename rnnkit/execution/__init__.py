"""From a step to its executor: the choice of a backend, and its programs for each dtype."""
