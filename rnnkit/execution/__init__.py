"""From a step to what runs it: which backend takes it, and its programs for each dtype."""
