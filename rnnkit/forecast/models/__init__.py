"""The forecasters, and their names on the command line."""
