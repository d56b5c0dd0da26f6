"""Writing and reading of configurations, the names in them, and files."""
