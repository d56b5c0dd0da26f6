"""One step of a recurrence: the cell, its states and weights, declared or written as a class."""
