"""Sequences as users have them: of unequal lengths, cut into windows, in frames and labelled arrays."""
