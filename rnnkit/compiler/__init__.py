"""From a step to a plan: traced, differentiated, planned; it knows no backend."""
