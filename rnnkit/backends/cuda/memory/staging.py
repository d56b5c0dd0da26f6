"""Large copies between the host and a GPU: through two pieces of pinned memory, filled while the other one travels.

The GPU reads and writes pinned memory by itself, at the full speed of the bus; other memory is copied by the driver.
"""

from __future__ import annotations

import ctypes
import threading

LEAST = 1 << 20  # bytes below which a copy is sent as it is: the driver has room for it
PIECE = 1 << 22  # bytes on the way at a time


class Staging:
    """Two pieces of pinned memory and the events that mark when each is free again; `calls` are the driver's."""

    def __init__(self, calls):
        self.calls = calls
        self.pieces = [(calls.pinned(PIECE), calls.new_event()) for _ in range(2)]
        self.lock = threading.Lock()  # pieces are shared by all threads

    def up(self, target: int, source: int, size: int, stream: int) -> None:
        """Copy from the host to the GPU; `source` may be written to once this returns."""
        with self.lock:
            for i, start in enumerate(range(0, size, PIECE)):
                piece, event = self.pieces[i % 2]
                count = min(PIECE, size - start)
                self.calls.wait_for(event)
                ctypes.memmove(piece, source + start, count)
                self.calls.copy(target + start, piece, count, stream)
                self.calls.record(event, stream)

    def down(self, target: int, source: int, size: int, stream: int) -> None:
        """Copy from the GPU to the host; the copy is complete once this returns."""
        with self.lock:
            starts = range(0, size, PIECE)
            for i in range(len(starts) + 1):
                if i < len(starts):
                    piece, event = self.pieces[i % 2]
                    self.calls.wait_for(event)
                    self.calls.copy(piece, source + starts[i], min(PIECE, size - starts[i]), stream)
                    self.calls.record(event, stream)
                if i:
                    piece, event = self.pieces[(i - 1) % 2]
                    self.calls.wait_for(event)
                    ctypes.memmove(target + starts[i - 1], piece, min(PIECE, size - starts[i - 1]))
