"""Callbacks, called between batches and epochs of a fit, with Keras's interface."""

from rnnkit.callbacks.averages import SwapEMAWeights
from rnnkit.callbacks.backup import BackupAndRestore
from rnnkit.callbacks.callback import Callback, LambdaCallback
from rnnkit.callbacks.checkpoint import ModelCheckpoint
from rnnkit.callbacks.csv_logger import CSVLogger
from rnnkit.callbacks.early_stopping import EarlyStopping
from rnnkit.callbacks.history import History
from rnnkit.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from rnnkit.callbacks.progress import ProgressBar
from rnnkit.callbacks.tensorboard import TensorBoard
from rnnkit.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "BackupAndRestore", "CSVLogger", "Callback", "EarlyStopping", "History", "LambdaCallback", "LearningRateScheduler",
    "ModelCheckpoint", "ProgressBar", "ReduceLROnPlateau", "SwapEMAWeights", "TensorBoard", "TerminateOnNaN",
]  # fmt: skip
