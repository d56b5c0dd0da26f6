"""Modules for `to_torch` that PyTorch lacks; PyTorch is imported on first use."""

from __future__ import annotations

import functools
from typing import Any

_NAMES = ("OneOutput",)


@functools.cache
def _classes() -> dict[str, Any]:
    import torch

    class OneOutput(torch.nn.Module):
        """A recurrent module that returns one tensor, so that others can follow it in ``nn.Sequential``.

        Parameters
        ----------
        recurrent : nn.RNN, nn.GRU or nn.LSTM
            With ``batch_first=True``.
        return_sequences : bool
            Return the outputs of all steps ``(B, T, …)`` or those after the last one ``(B, …)``.
        merge_mode : {"concat", "sum", "mul", "ave"}
            The merging of the outputs of two directions.
        """

        def __init__(self, recurrent, return_sequences, merge_mode="concat"):
            super().__init__()
            self.recurrent, self.return_sequences, self.merge_mode = recurrent, return_sequences, merge_mode

        def forward(self, x, lengths=None):
            """Run over x ``(B, T, F)``; `lengths` ``(B,)`` are the numbers of used steps of the rows."""
            if lengths is None:
                outputs, states = self.recurrent(x)
            else:
                packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                outputs, states = self.recurrent(packed)
                outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
            if self.return_sequences:
                halves = outputs.chunk(2, dim=-1) if self.recurrent.bidirectional else (outputs,)
            else:
                last = states[0] if isinstance(states, tuple) else states
                halves = tuple(last[-2:]) if self.recurrent.bidirectional else (last[-1],)
            return self._merged(*halves)

        def _merged(self, forward, backward=None):
            if backward is None:
                return forward
            if self.merge_mode == "concat":
                return torch.cat([forward, backward], dim=-1)
            if self.merge_mode == "mul":
                return forward * backward
            total = forward + backward
            return total / 2 if self.merge_mode == "ave" else total

    OneOutput.__module__, OneOutput.__qualname__ = __name__, "OneOutput"  # for pickle
    return {"OneOutput": OneOutput}


def __getattr__(name: str):
    if name in _NAMES:
        return _classes()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
