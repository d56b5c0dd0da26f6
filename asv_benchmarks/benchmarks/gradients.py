"""Time and peak memory of outputs and gradients: by cell and size, and what a mask and checkpoints change."""

# smoke: gradients.Cells.time_gradients\('leaky', '32, 100, 16, 64'\)

from . import sizes
from .cells import MAKERS, layer, sequences
from .forward import padding


class _Gradients:
    """All outputs of a cell at a size, and the gradients to all weights and the input; default threads."""

    param_names = ("cell", "size")

    def setup(self, cell, size):
        *shape, units = sizes.numbers(size)
        self.x, self.cotangents = sequences(*shape), sequences(*shape[:2], units)
        self.layer = layer(cell, units, return_sequences=True)
        self.gradients(self.x[:, :20])

    def gradients(self, x, **options):
        _, pullback = self.layer.vjp(x, **options)
        return pullback(self.cotangents[:, : x.shape[1]])


class Cells(_Gradients):
    """Every cell at some sizes."""

    params = (list(MAKERS), list(map(sizes.text, sizes.LAYERS)))

    def time_gradients(self, cell, size):
        self.gradients(self.x)


class Memory(_Gradients):
    """What a process with a layer, its outputs and all that is kept for their gradients takes."""

    params = (["LSTMCell", "leaky"], list(map(sizes.text, sizes.LAYERS)))

    def peakmem_gradients(self, cell, size):
        self.gradients(self.x)


class Masks(_Gradients):
    """A batch of padded sequences of any length, with every step used and with the padding masked."""

    params = (["LSTMCell", "leaky"], ["none", "right-padded", "left-padded"])
    param_names = ("cell", "mask")

    def setup(self, cell, mask):
        super().setup(cell, sizes.text(sizes.PADDED))
        right = padding(*sizes.PADDED[:2])
        self.mask = {"none": None, "right-padded": right, "left-padded": right[:, ::-1].copy()}[mask]
        self.gradients(self.x, mask=self.mask)

    def time_gradients(self, cell, mask):
        self.gradients(self.x, mask=self.mask)


class Checkpoints(_Gradients):
    """An LSTM over a long sequence: all that its gradients need is kept, or some of it computed again."""

    params = [None, 100, 1000]
    param_names = ("checkpoint",)

    def setup(self, checkpoint):
        super().setup("LSTMCell", sizes.text(sizes.CHECKPOINTS))

    def time_gradients(self, checkpoint):
        self.gradients(self.x, checkpoint=checkpoint)

    def peakmem_gradients(self, checkpoint):
        self.gradients(self.x, checkpoint=checkpoint)
