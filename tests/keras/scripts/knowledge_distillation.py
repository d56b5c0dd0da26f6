"""As examples/vision/knowledge_distillation.py of keras-io: the loss of a student has what a teacher gives."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(53)
x = rng.normal(size=(48, 6, 4)).astype("float32")
y = rng.integers(0, 3, size=(48,)).astype("int32")


class Distiller(keras.Model):
    def __init__(self, student, teacher):
        super().__init__()
        self.teacher = teacher
        self.student = student

    def compile(self, optimizer, metrics, student_loss_fn, distillation_loss_fn, alpha=0.1, temperature=3):
        super().compile(optimizer=optimizer, metrics=metrics)
        self.student_loss_fn = student_loss_fn
        self.distillation_loss_fn = distillation_loss_fn
        self.alpha = alpha
        self.temperature = temperature

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False):
        teacher_pred = self.teacher(x, training=False)
        student_loss = self.student_loss_fn(y, y_pred)
        distillation_loss = self.distillation_loss_fn(
            ops.softmax(teacher_pred / self.temperature, axis=1),
            ops.softmax(y_pred / self.temperature, axis=1),
        ) * (self.temperature**2)
        loss = self.alpha * student_loss + (1 - self.alpha) * distillation_loss
        return loss

    def call(self, x):
        return self.student(x)


teacher = keras.Sequential([keras.Input(shape=(6, 4)), layers.LSTM(8), layers.Dense(3)], name="teacher")
student = keras.Sequential([keras.Input(shape=(6, 4)), layers.GRU(3), layers.Dense(3)], name="student")
teacher.trainable = False
model = Distiller(student=student, teacher=teacher)
model.compile(
    optimizer=keras.optimizers.Adam(),
    metrics=[keras.metrics.SparseCategoricalAccuracy()],
    student_loss_fn=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    distillation_loss_fn=keras.losses.KLDivergence(),
    alpha=0.1,
    temperature=10,
)
history = model.fit(x, y, epochs=3, batch_size=16)
scores = model.evaluate(x, y, batch_size=16, verbose=0)
predicted = model.predict(x, verbose=0)
