"""The calls of recurrent layers: over sequences, from initial states, with constants of each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnnkit.hints import Array
from rnnkit.layers.base import Layer
from rnnkit.layers.support import entry
from rnnkit.layers.support.pullback import Pullback, options


class OverSequences(Layer):
    """Base of `RNN` and `Bidirectional`.

    A subclass has `_run`, which gives the results of a call for a tuple of its arguments, and what makes of these a
    call's result (`_shown`), the result with its pullback (`_differentiated`), and a trajectory (`_through_time`).
    """

    _least_rank = 3
    _open_axes = 2
    _axes = "batch, time"
    _padding = "masked"
    _native = True

    _run: Callable[..., Any]
    _shown: Callable[[Any], Any]
    _differentiated: Callable[[Any, bool], tuple[Any, Pullback]]
    _through_time: Callable[[Any], tuple]
    _reset: Callable[[Any, Any], Any]
    _keep: Callable[[Any], None]

    @entry.entered
    def __call__(
        self,
        sequences: Array,
        initial_state: Array = None,
        mask: Array = None,
        training: bool = False,
        constants: Array = None,
        *,
        stream: Any = None,
    ) -> Any:
        """Run the cell over sequences.

        Parameters
        ----------
        sequences : array_like ``(B, T, *features)``
            For a class cell whose step takes several arrays, these in a list, tuple or dict, which may be nested. On
            CUDA also an array of any library in the GPU's memory, which stays there; so do the results, as arrays
            of the same library. A list of arrays (T_i, *features) is one of sequences of unequal lengths; sequences
            are a list with an array for each of them then.
        initial_state : list of array_like ``(B, *state)``, optional
            A bare array for a single state; a list per cell for a stack. Default: the cell's, or the kept states.
        mask : array_like (B, T) or (B, T, 1), optional
            Non-zero uses the step; a masked step holds all states and the output.
        training : bool
            Whether dropout acts.
        constants : list of array_like (B, …), optional
            Given to every step, to a cell that takes them.
        stream : int or stream of numba, CuPy or torch, optional
            On CUDA, where the work is put in order. Default: where the library of `sequences` puts its own now.

        Returns
        -------
        ndarray, or (ndarray, *states) with `return_state`
            Nested arrays if the step's output is nested.

        Raises
        ------
        ValueError, TypeError
            For an input that doesn't fit; the layer is unchanged then.
        """
        return self._shown(self._run((sequences, initial_state, mask, training, constants, stream)))

    @entry.entered_vjp
    def vjp(
        self,
        sequences: Array,
        initial_state: Array = None,
        mask: Array = None,
        training: bool = False,
        constants: Array = None,
        *,
        checkpoint: Any = None,
        truncate: Any = None,
        stream: Any = None,
    ) -> Any:
        """Run a call, and return the function from the cotangents of its results to those of its inputs.

        Parameters
        ----------
        sequences, initial_state, mask, training, constants, stream
            As in a call.
        checkpoint : None, "auto" or int
            Keep the states of every so many steps only, and compute the steps between again: less memory, more time.
            "auto" takes about √T where all that is kept would exceed `get_memory_limit`.
        truncate : int, optional
            Truncated backpropagation through time: no gradient of a state passes from a multiple of so many processed
            steps to the step before.

        Returns
        -------
        outputs
            The same bits as the call's.
        pullback : callable
            ``pullback(d_outputs)``, with cotangents nested as `outputs` (None for zeros), gives `Gradients`:
            ``weights`` (dict by name), ``x``, ``initial_state`` and ``constants``. It may be called more than once.

        Raises
        ------
        ValueError, TypeError
            As a call; and for a cell whose gradient isn't known, with what to do.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> layer = rk.LSTM(4, seed=0)
        >>> y, pullback = layer.vjp(np.ones((2, 5, 3)))
        >>> gradient = pullback(np.ones_like(y))
        >>> gradient.x.shape, gradient.weights["kernel"].shape
        ((2, 5, 3), (3, 16))
        """
        arguments = sequences, initial_state, mask, training, constants, stream
        return self._differentiated(self._run(arguments, options(checkpoint, truncate)), constants is not None)

    @entry.entered_trajectory
    def trajectory(
        self,
        sequences: Array,
        initial_state: Array = None,
        mask: Array = None,
        training: bool = False,
        constants: Array = None,
        *,
        stream: Any = None,
    ) -> Any:
        """Return every output and every state at every step, for the arguments of a call.

        Returns
        -------
        outputs : ndarray ``(B, T, *O)``
        states : list of ndarray ``(B, T, *state)``
            In processing order, nested as `initial_state` is; a masked step shows the held state.
        """
        arguments = sequences, initial_state, mask, training, constants, stream
        return self._through_time(self._run(arguments, sequences=True, trajectory=True))

    def reset_states(self, states: Array = None, rows: Array = None) -> None:
        """Set the states that the next call of a stateful layer starts from.

        Parameters
        ----------
        states : list of array_like ``(B, *state)``, optional
            As `initial_state`; also sets the batch size. Default: back to the cell's initial state, for any batch size.
        rows : sequence of int, optional
            Reset these rows of the batch only.

        Raises
        ------
        ValueError
            If the layer isn't stateful, a shape is wrong or a row isn't there.
        """
        self._keep(self._reset(states, rows))

    reset_state = reset_states
