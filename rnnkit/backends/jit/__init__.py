"""Steps that can't be traced: jitted as they stand, in one compiled loop over time."""
