"""What is written down and read back: configurations, the names in them, and files."""
