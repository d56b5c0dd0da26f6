"""Users' sequences: of unequal lengths, cut into windows, in frames and labelled arrays."""
