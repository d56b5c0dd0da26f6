"""What one step of a recurrence is: the cell, its states and weights, declared or written as a class."""
