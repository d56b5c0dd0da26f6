"""From a graph to a plan: what runs once, per call, per block and per step, fused into loops."""
