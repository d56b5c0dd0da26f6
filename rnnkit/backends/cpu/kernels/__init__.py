"""Products, sums of outer products and copies of rows, compiled once and called by programs."""
