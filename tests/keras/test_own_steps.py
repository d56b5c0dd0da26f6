"""Models with steps of their own, in the manner of Keras's guides: called, and equal to loops by hand in rnnkit."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit import keras
from rnnkit.keras import layers, ops
from rnnkit.layers.support.watching import are_own


@pytest.fixture(autouse=True)
def fresh():
    """Names are counted anew."""
    keras.backend.clear_session()
    yield
    keras.backend.clear_session()


RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 5, 3)).astype("float32")
Y = X.sum(axis=(1, 2))[:, None] / 4
TRAINING = {"batch_size": 12, "epochs": 3, "verbose": 0}


def parts(units=4, outputs=1):
    """Symbolic input and output of a small recurrent model."""
    x = keras.Input((5, 3))
    return x, layers.Dense(outputs)(layers.LSTM(units)(x))


class FromTape(keras.Model):
    """The first class of the guide "Customizing what happens in fit()"."""

    def train_step(self, data):
        x, y = data
        with keras.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


class FromVJP(keras.Model):
    """The same with rnnkit's own gradient."""

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred, pullback = self.vjp(x, training=True)
        gradients = pullback(2 * (y_pred - y) / len(x)).weights
        self.optimizer.apply_gradients(zip(gradients.values(), self.variables, strict=True))
        self.metrics[0].update_state(np.mean((y_pred - y) ** 2))
        return {"loss": self.metrics[0].result(), "mae": np.mean(np.abs(y_pred - y))}


class Stateless(keras.Model):
    """The class of the guide for jax, whose `train_step` has a state."""

    def compute_loss_and_updates(self, trainable_variables, non_trainable_variables, x, y, training=False):
        y_pred, non_trainable_variables = self.stateless_call(
            trainable_variables, non_trainable_variables, x, training=training
        )
        return self.compute_loss(x, y, y_pred), (y_pred, non_trainable_variables)

    def train_step(self, state, data):
        trainable_variables, non_trainable_variables, optimizer_variables, metrics_variables = state
        x, y = data
        grad_fn = keras.value_and_grad(self.compute_loss_and_updates, has_aux=True)
        (loss, (y_pred, non_trainable_variables)), grads = grad_fn(
            trainable_variables, non_trainable_variables, x, y, training=True
        )
        trainable_variables, optimizer_variables = self.optimizer.stateless_apply(
            optimizer_variables, grads, trainable_variables
        )
        new_metrics_vars, logs = [], {}
        for metric in self.metrics:
            this_metric_vars = metrics_variables[len(new_metrics_vars) : len(new_metrics_vars) + len(metric.variables)]
            if metric.name == "loss":
                this_metric_vars = metric.stateless_update_state(this_metric_vars, loss)
            else:
                this_metric_vars = metric.stateless_update_state(this_metric_vars, y, y_pred)
            logs[metric.name] = metric.stateless_result(this_metric_vars)
            new_metrics_vars += this_metric_vars
        return logs, (trainable_variables, non_trainable_variables, optimizer_variables, new_metrics_vars)

    def test_step(self, state, data):
        trainable_variables, non_trainable_variables, metrics_variables = state
        x, y = data
        y_pred, non_trainable_variables = self.stateless_call(trainable_variables, non_trainable_variables, x)
        tracker, *others = self.metrics
        own = tracker.stateless_update_state(metrics_variables[:2], self.compute_loss(x, y, y_pred))
        logs = {"loss": tracker.stateless_result(own)}
        return logs, (trainable_variables, non_trainable_variables, own + metrics_variables[2:])


class ByDefault(keras.Model):
    """Keras's own steps, by `super`."""

    def train_step(self, data):
        return super().train_step(data)

    def test_step(self, data):
        return super().test_step(data)

    def predict_step(self, data):
        return super().predict_step(data)


def trained(kind, fits=1, **compiled):
    """The weights, the history and an evaluation of a class after a fit."""
    keras.utils.set_random_seed(1)
    model = kind(*parts())
    model.compile(**({"optimizer": "adam", "loss": "mse", "metrics": ["mae"]} | compiled))
    for _ in range(fits):
        history = model.fit(X, Y, validation_split=0.25, **TRAINING).history
    return model, history, model.evaluate(X, Y, batch_size=12, verbose=0, return_dict=True)


@pytest.mark.parametrize("kind", [FromTape, FromVJP, Stateless, ByDefault])
def test_a_train_step_of_a_guide_gives_the_bits_of_fit(kind):
    """Weights to the bit; the losses of epochs, the validation and the evaluation to rounding."""
    plain, history, found = trained(keras.Model, 2)
    model, own_history, own = trained(kind, 2)
    assert isinstance(model, kind) and model.optimizer.iterations == plain.optimizer.iterations == 18
    for one, other in zip(plain.get_weights(), model.get_weights(), strict=True):
        assert np.allclose(one, other, rtol=0, atol=1e-6 if kind is FromVJP else 0)  # which writes 2 (y - t) / n
    assert np.allclose(history["loss"], own_history["loss"], atol=1e-6)
    assert np.allclose(history["val_loss"], own_history["val_loss"], atol=1e-6)
    assert np.isclose(found["loss"], own["loss"], atol=1e-6)
    assert np.allclose(plain.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-5)
    if kind is not FromVJP:
        assert np.allclose(history["mae"], own_history["mae"], atol=1e-6)


@pytest.mark.parametrize("kind", [FromTape, ByDefault])
def test_what_regularizers_add_is_in_the_loss_and_its_gradient(kind):
    def model(of):
        keras.utils.set_random_seed(1)
        x = keras.Input((5, 3))
        h = layers.GRU(4, kernel_regularizer="l2", recurrent_constraint=keras.constraints.MaxNorm(0.5))(x)
        return of(x, layers.Dense(1, bias_regularizer="l1")(h))

    models = [model(keras.Model), model(kind)]
    for one in models:
        one.compile(keras.optimizers.SGD(0.1), "mse")
    losses = [one.fit(X, Y, **TRAINING).history["loss"] for one in models]
    assert np.allclose(*losses, rtol=1e-6)
    for one, other in zip(*(one.get_weights() for one in models), strict=True):
        assert np.allclose(one, other, atol=1e-7)
    assert len(models[1].losses) == 2


def test_a_loss_of_ones_own_by_compute_loss():
    """Alone, it is what the ordinary steps differentiate."""

    class Absolute(keras.Model):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            self.seen = keras.metrics.Mean(name="seen")

        def compute_loss(self, x, y, y_pred, sample_weight=None):
            loss = ops.mean(ops.abs(y_pred - y)) + ops.sum(self.losses)
            self.seen.update_state(loss)
            return loss

        @property
        def metrics(self):
            return [self.seen]

    _, history, found = trained(keras.Model, loss="mae")
    model, own, own_found = trained(Absolute, loss=None)
    assert np.allclose(history["loss"], own["seen"], atol=1e-6)
    assert np.isclose(found["loss"], own_found["seen"], atol=1e-6)
    x, y = X[:8], Y[:8]
    before = model.compute_loss(x, y, model(x))
    model.train_on_batch(x, y)
    assert model.compute_loss(x, y, model(x)) != before


def test_metrics_of_ones_own_by_compute_metrics():
    class Doubled(keras.Model):
        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            found = super().compute_metrics(x, y, y_pred, sample_weight)
            return found | {"twice": 2 * found["mae"], "nested": {"inside": 1.0}}

    model, history, found = trained(Doubled)
    assert list(history) == sorted(
        ["loss", "mae", "twice", "inside", *(f"val_{n}" for n in ("loss", "mae", "twice")), "val_inside"]
    )
    assert np.allclose(history["twice"], 2 * np.array(history["mae"])) and found["twice"] == 2 * found["mae"]
    assert model.test_on_batch(X, Y) == [found[name] for name in ("loss", "mae")] + [1.0, found["twice"]]


def test_a_predict_step_of_ones_own():
    class Probabilities(keras.Model):
        def predict_step(self, data):
            return ops.sigmoid(self(data, training=False))

    model = Probabilities(*parts())
    told = []
    callback = keras.callbacks.LambdaCallback()
    callback.on_predict_batch_end = lambda batch, logs=None: told.append(logs["outputs"].shape)
    found = model.predict(X, batch_size=20, verbose=0, callbacks=[callback])
    assert np.allclose(found, 1 / (1 + np.exp(-model(X))), atol=1e-6) and told == [(20, 1), (20, 1), (8, 1)]
    assert np.array_equal(model.predict_on_batch(X[:3]), ops.sigmoid(model(X[:3])))
    assert model.predict(iter([X[:3], X[3:5]]), verbose=0).shape == (5, 1)


def test_sample_weights_reach_a_train_step():
    """The third part of the guide."""

    class Weighted(keras.Model):
        def train_step(self, data):
            if len(data) == 3:
                x, y, sample_weight = data
            else:
                sample_weight = None
                x, y = data
            with keras.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=sample_weight)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred, sample_weight=sample_weight)
            return {m.name: m.result() for m in self.metrics}

    weights = RNG.uniform(size=48).astype("float32")
    models = []
    for kind in (keras.Model, Weighted):
        keras.utils.set_random_seed(2)
        models.append(kind(*parts()))
        models[-1].compile("rmsprop", "mse", weighted_metrics=["mae"])
        models[-1].fit(X, Y, sample_weight=weights, **TRAINING)
    for one, other in zip(*(one.get_weights() for one in models), strict=True):
        assert np.array_equal(one, other)


def test_the_metrics_are_reset_at_each_epoch():
    """The second part of the guide: metrics that are attributes."""

    class Own(keras.Model):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            self.loss_tracker = keras.metrics.Mean(name="loss")
            self.mae_metric = keras.metrics.MeanAbsoluteError(name="mae")
            self.loss_fn = keras.losses.MeanSquaredError()

        def train_step(self, data):
            x, y = data
            with keras.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.loss_fn(y, y_pred)
            self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
            self.loss_tracker.update_state(loss)
            self.mae_metric.update_state(y, y_pred)
            return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result()}

        @property
        def metrics(self):
            return [self.loss_tracker, self.mae_metric]

    _, history, _ = trained(keras.Model)
    keras.utils.set_random_seed(1)
    model = Own(*parts())
    model.compile(optimizer="adam")
    own = model.fit(X[:36], Y[:36], **TRAINING).history
    assert np.allclose(own["loss"], history["loss"], atol=1e-6)
    assert own["mae"][-1] < own["mae"][0] and model.optimizer.iterations.numpy() == 9


class GAN(keras.Model):
    """The last part of the guide: two models, two optimizers, data without targets, and no call."""

    def __init__(self, discriminator, generator, latent_dim):
        super().__init__()
        self.discriminator, self.generator, self.latent_dim = discriminator, generator, latent_dim
        self.d_loss_tracker = keras.metrics.Mean(name="d_loss")
        self.g_loss_tracker = keras.metrics.Mean(name="g_loss")
        self.seed_generator = keras.random.SeedGenerator(1337)

    @property
    def metrics(self):
        return [self.d_loss_tracker, self.g_loss_tracker]

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        super().compile()
        self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn

    def train_step(self, real):
        batch_size = ops.shape(real)[0]
        noise = keras.random.normal(shape=(batch_size, self.latent_dim), seed=self.seed_generator)
        generated = self.generator(noise)
        combined = ops.concatenate([generated, real], axis=0)
        labels = ops.concatenate([ops.ones((batch_size, 1)), ops.zeros((batch_size, 1))], axis=0)
        with keras.GradientTape() as tape:
            predictions = self.discriminator(combined)
            d_loss = self.loss_fn(labels, predictions)
        grads = tape.gradient(d_loss, self.discriminator.trainable_weights)
        self.d_optimizer.apply(grads, self.discriminator.trainable_weights)
        noise = keras.random.normal(shape=(batch_size, self.latent_dim), seed=self.seed_generator)
        misleading = ops.zeros((batch_size, 1))
        with keras.GradientTape() as tape:
            predictions = self.discriminator(self.generator(noise))
            g_loss = self.loss_fn(misleading, predictions)
        grads = tape.gradient(g_loss, self.generator.trainable_variables)
        self.g_optimizer.apply(grads, self.generator.trainable_variables)
        self.d_loss_tracker.update_state(d_loss)
        self.g_loss_tracker.update_state(g_loss)
        return {"d_loss": self.d_loss_tracker.result(), "g_loss": self.g_loss_tracker.result()}


def by_logits(labels, logits):
    """The loss and its gradient."""
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    return np.mean(np.logaddexp(0, logits) - labels * logits), ((p - labels) / len(labels)).astype("float32")


def test_a_generative_adversarial_network_equals_its_loop_by_hand():
    def make():
        keras.utils.set_random_seed(3)
        discriminator = keras.Sequential([keras.Input((2,)), layers.Dense(8), layers.LeakyReLU(0.2), layers.Dense(1)])
        generator = keras.Sequential([keras.Input((3,)), layers.Dense(8), layers.LeakyReLU(0.2), layers.Dense(2)])

        return discriminator, generator

    real = RNG.normal(size=(40, 2)).astype("float32")
    discriminator, generator = make()
    gan = GAN(discriminator, generator, 3)
    optimizers = [keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.02)]
    gan.compile(*optimizers, loss_fn=keras.losses.BinaryCrossentropy(from_logits=True))
    history = gan.fit(real, batch_size=20, epochs=2, shuffle=False, verbose=0).history
    assert list(history) == ["d_loss", "g_loss"]

    d, g = make()
    seeds, d_loss = keras.random.SeedGenerator(1337), []
    d_adam, g_adam = rk.optimizers.Adam(0.01), rk.optimizers.Adam(0.02)

    def change(layer, optimizer, gradients):
        for name, array in optimizer.apply(layer.weights, gradients).items():
            layer.weights[name] = array

    for step in range(4):
        rows = real[20 * (step % 2) :][:20]
        fake = g(keras.random.normal((20, 3), seed=seeds))
        logits, pull = d.vjp(np.concatenate([fake, rows]))
        loss, gradient = by_logits(np.repeat([[1.0], [0.0]], 20, axis=0), logits)
        change(d, d_adam, pull(gradient).weights)
        d_loss.append(loss)
        fake, pull_g = g.vjp(keras.random.normal((20, 3), seed=seeds))
        logits, pull = d.vjp(fake)
        change(g, g_adam, pull_g(pull(by_logits(np.zeros((20, 1)), logits)[1]).x).weights)
    for one, other in ((discriminator, d), (generator, g)):
        for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
            assert np.allclose(a, b, atol=1e-5)
    assert np.allclose(history["d_loss"], np.reshape(d_loss, (2, 2)).mean(axis=1), atol=1e-5)


class Sampling(layers.Layer):
    """Uses (z_mean, z_log_var) to sample z."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        z_mean, z_log_var = inputs
        epsilon = keras.random.normal(shape=ops.shape(z_mean), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


class VAE(keras.Model):
    def __init__(self, encoder, decoder, **keywords):
        super().__init__(**keywords)
        self.encoder, self.decoder = encoder, decoder
        self.total_loss_tracker = keras.metrics.Mean(name="total_loss")
        self.reconstruction_loss_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_loss_tracker = keras.metrics.Mean(name="kl_loss")

    @property
    def metrics(self):
        return [self.total_loss_tracker, self.reconstruction_loss_tracker, self.kl_loss_tracker]

    def train_step(self, data):
        with keras.GradientTape() as tape:
            z_mean, z_log_var, z = self.encoder(data)
            reconstruction = self.decoder(z)
            reconstruction_loss = ops.mean(ops.sum(keras.losses.binary_crossentropy(data, reconstruction), axis=-1))
            kl_loss = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
            kl_loss = ops.mean(ops.sum(kl_loss, axis=1))
            total_loss = reconstruction_loss + kl_loss
        grads = tape.gradient(total_loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(grads, self.trainable_variables, strict=True))
        self.total_loss_tracker.update_state(total_loss)
        self.reconstruction_loss_tracker.update_state(reconstruction_loss)
        self.kl_loss_tracker.update_state(kl_loss)
        return {
            "loss": self.total_loss_tracker.result(),
            "reconstruction_loss": self.reconstruction_loss_tracker.result(),
            "kl_loss": self.kl_loss_tracker.result(),
        }


def test_a_variational_autoencoder():
    """Its losses add up and fall, and its gradient is that of differences with the noise held."""
    keras.utils.set_random_seed(4)
    x = keras.Input((4, 6))
    h = layers.GRU(8)(x)
    z_mean, z_log_var = layers.Dense(2, name="z_mean")(h), layers.Dense(2, name="z_log_var")(h)
    encoder = keras.Model(x, [z_mean, z_log_var, Sampling()([z_mean, z_log_var])], name="encoder")
    latent = keras.Input((2,))
    h = layers.GRU(8, return_sequences=True)(layers.RepeatVector(4)(latent))
    decoder = keras.Model(latent, layers.Dense(6, activation="sigmoid")(h), name="decoder")
    vae = VAE(encoder, decoder)
    vae.compile(optimizer=keras.optimizers.Adam(0.01))
    data = (RNG.uniform(size=(60, 4, 6)) < 0.2).astype("float32")
    history = vae.fit(data, epochs=8, batch_size=20, verbose=0).history
    assert np.allclose(np.add(history["kl_loss"], history["reconstruction_loss"]), history["loss"])
    assert history["loss"][-1] < 0.9 * history["loss"][0] and vae.optimizer.iterations == 24
    mean, log_var, z = vae.encoder.predict(data, verbose=0)
    assert not np.allclose(z, mean) and np.std((z - mean) / np.exp(log_var / 2)) == pytest.approx(1, abs=0.2)


def test_gradient_accumulation_equals_larger_batches():
    class Accumulating(keras.Model):
        def __init__(self, *arguments, every=2, **keywords):
            super().__init__(*arguments, **keywords)
            self.every, self.count = every, keras.Variable(0, dtype="int32", trainable=False)
            self.sums = [keras.Variable(np.zeros(one.shape), dtype="float32") for one in self.trainable_variables]

        def train_step(self, data):
            x, y = data
            with keras.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            for total, gradient in zip(self.sums, tape.gradient(loss, self.trainable_variables), strict=True):
                total.assign_add(gradient / self.every)
            self.count.assign_add(1)
            if self.count % self.every == 0:
                self.optimizer.apply([total.value for total in self.sums], self.trainable_variables)
                for total in self.sums:
                    total.assign(ops.zeros_like(total))
            return {"loss": loss}

    models = []
    for kind, batch in ((keras.Model, 16), (Accumulating, 8)):
        keras.utils.set_random_seed(5)
        models.append(kind(*parts()))
        models[-1].compile(keras.optimizers.Adam(0.01), "mse")
        models[-1].fit(X, Y, batch_size=batch, shuffle=False, epochs=3, verbose=0)
    assert models[1].optimizer.iterations == 9
    for one, other in zip(*(one.get_weights() for one in models), strict=True):
        assert np.allclose(one, other, atol=1e-5)


class Distiller(keras.Model):
    """Knowledge distillation, by `compute_loss`, as keras.io has it."""

    def __init__(self, student, teacher):
        super().__init__()
        self.teacher, self.student = teacher, student

    def compile(self, optimizer, metrics, student_loss_fn, distillation_loss_fn, alpha=0.1, temperature=3):
        super().compile(optimizer=optimizer, metrics=metrics)
        self.student_loss_fn, self.distillation_loss_fn = student_loss_fn, distillation_loss_fn
        self.alpha, self.temperature = alpha, temperature

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False):
        teacher_pred = self.teacher(x, training=False)
        student_loss = self.student_loss_fn(y, y_pred)
        distillation_loss = self.distillation_loss_fn(
            ops.softmax(teacher_pred / self.temperature, axis=1), ops.softmax(y_pred / self.temperature, axis=1)
        ) * (self.temperature**2)
        return self.alpha * student_loss + (1 - self.alpha) * distillation_loss

    def call(self, x):
        return self.student(x)


def test_distillation_trains_the_student_towards_the_teacher():
    keras.utils.set_random_seed(6)
    labels = (X.sum(axis=(1, 2)) > 0).astype("int32") + (X[:, 0, 0] > 0)
    teacher, student = keras.Model(*parts(8, 3)), keras.Model(*parts(3, 3))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    teacher.compile(keras.optimizers.Adam(0.02), loss)
    teacher.fit(X, labels, epochs=10, verbose=0)
    taught = teacher.get_weights()
    distiller = Distiller(student, teacher)
    distiller.teacher.trainable = False
    distiller.compile(
        keras.optimizers.Adam(0.02),
        [keras.metrics.SparseCategoricalAccuracy()],
        student_loss_fn=loss,
        distillation_loss_fn=keras.losses.KLDivergence(),
    )
    before = distiller.compute_loss(X, labels, student(X))
    history = distiller.fit(X, labels, epochs=10, verbose=0).history
    assert set(history) == {"loss", "sparse_categorical_accuracy"}
    assert distiller.compute_loss(X, labels, student(X)) < 0.8 * before
    assert all(np.array_equal(a, b) for a, b in zip(taught, teacher.get_weights(), strict=True))
    found = distiller.evaluate(X, labels, verbose=0, return_dict=True)
    assert np.isclose(found["loss"], distiller.compute_loss(X, labels, student(X)), atol=1e-5)


class Contrastive(keras.Model):
    """Two encoders, and the loss of their products over the batch, by `compute_loss`."""

    def __init__(self, first, second, temperature=0.5):
        super().__init__()
        self.first, self.second, self.temperature = first, second, temperature

    def call(self, inputs):
        return self.first(inputs[0]), self.second(inputs[1])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=False):
        a, b = (ops.normalize(one, axis=1) for one in y_pred)
        logits = ops.matmul(a, ops.transpose(b)) / self.temperature
        labels = ops.arange(ops.shape(a)[0])
        both = [
            keras.losses.sparse_categorical_crossentropy(labels, one, from_logits=True)
            for one in (logits, ops.transpose(logits))
        ]
        return (ops.mean(both[0]) + ops.mean(both[1])) / 2


def test_a_contrastive_loss_over_the_batch():
    """Its gradient is that of differences of the loss."""
    keras.utils.set_random_seed(7)
    encoders = [keras.Model(*parts(4, 3)) for _ in range(2)]
    model = Contrastive(*encoders)
    model.compile(keras.optimizers.SGD(0.0))
    pair = [X[:16], X[:16] + 0.1]
    losses = model.fit(pair, batch_size=16, epochs=1, verbose=0).history["loss"]
    assert np.isclose(losses[0], model.compute_loss(y_pred=model(pair)), atol=1e-6)
    with keras.GradientTape() as tape:
        loss = model.compute_loss(y_pred=model(pair))
    kernel = encoders[0].layers[-1].kernel
    gradient = tape.gradient(loss, kernel)
    step = RNG.normal(size=kernel.shape) * 1e-2
    ends = []
    for sign in (1, -1):
        kernel.assign_add(sign * step)
        ends.append(float(model.compute_loss(y_pred=model(pair))))
        kernel.assign_sub(sign * step)
    assert np.isclose((ends[0] - ends[1]) / 2, np.sum(gradient * step), rtol=2e-2)
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(pair, batch_size=16, epochs=10, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]


def test_a_training_loop_from_scratch():
    """The guide "Writing a custom training loop": models, optimizers and metrics without compile."""
    keras.utils.set_random_seed(8)
    labels = (X.sum(axis=(1, 2)) > 0).astype("int32")
    model = keras.Model(*parts(4, 2))
    optimizer = keras.optimizers.Adam(learning_rate=1e-2)
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    accuracy = keras.metrics.SparseCategoricalAccuracy()
    told = []
    for _ in range(8):
        for first in range(0, 48, 16):
            x, y = X[first : first + 16], labels[first : first + 16]
            with keras.GradientTape() as tape:
                logits = model(x, training=True)
                loss_value = loss_fn(y, logits) + sum(model.losses)
            grads = tape.gradient(loss_value, model.trainable_variables)
            optimizer.apply(grads, model.trainable_variables)
            accuracy.update_state(y, logits)
        told.append((float(loss_value), float(accuracy.result())))
        accuracy.reset_state()
    assert told[-1][0] < told[0][0] and told[-1][1] > told[0][1] and optimizer.iterations == 24

    def compute_loss(trainable_variables, non_trainable_variables, x, y):
        y_pred, updated = model.stateless_call(trainable_variables, non_trainable_variables, x, training=True)
        return loss_fn(y, y_pred), (updated, y_pred)

    optimizer.build(model.trainable_variables)
    weights = [one.value for one in model.trainable_variables]
    state = [one.value for one in optimizer.variables]
    before = model.get_weights()
    (loss, (_, y_pred)), grads = keras.value_and_grad(compute_loss, has_aux=True)(weights, [], X, labels)
    weights, state = optimizer.stateless_apply(state, grads, weights)
    assert y_pred.shape == (48, 2) and np.isclose(loss, loss_fn(labels, model(X)), atol=1e-6)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)), "nothing is changed"
    assert optimizer.iterations == 24 and state[0] == 25 and not np.array_equal(weights[0], before[0])


def test_moving_averages_come_back_from_a_stateless_call():
    layer = layers.BatchNormalization()
    x = RNG.normal(2, 1, size=(32, 3)).astype("float32")
    layer.build((None, 3))
    given = [one.value for one in layer.non_trainable_variables]
    _, after = layer.stateless_call([one.value for one in layer.trainable_variables], given, x, training=True)
    assert all(
        np.array_equal(one.value, array) for one, array in zip(layer.non_trainable_variables, given, strict=True)
    )
    layer(x, training=True)
    for one, array in zip(layer.non_trainable_variables, after, strict=True):
        assert np.array_equal(one.value, array) and not np.array_equal(array, given[0])
    with pytest.raises(ValueError, match="expected 4 weights"):
        layer.stateless_call([], given, x)


def test_a_mask_of_the_outputs_is_in_the_loss():
    """As in `fit`; without x nothing says which steps are masked."""
    ids = np.array([[1, 2, 0], [3, 0, 0]] * 8)
    y = RNG.normal(size=(16, 3, 1)).astype("float32")

    def make(kind):
        keras.utils.set_random_seed(9)
        x = keras.Input((None,))
        h = layers.LSTM(4, return_sequences=True)(layers.Embedding(5, 2, mask_zero=True)(x))
        model = kind(x, layers.Dense(1)(h))
        model.compile("sgd", "mse", metrics=["mae"])
        return model, model.fit(ids, y, verbose=0, epochs=2).history

    (_, history), (model, own) = make(keras.Model), make(ByDefault)
    assert np.allclose(history["loss"], own["loss"]) and np.allclose(history["mae"], own["mae"])
    with pytest.raises(ValueError, match="expected x for the loss"):
        model.compute_loss(y=y, y_pred=model(ids))


def test_several_outputs_have_losses_of_their_own():
    def trained_pair(kind):
        keras.utils.set_random_seed(3)
        x = keras.Input((5, 3))
        h = layers.GRU(4)(x)
        model = kind(x, [layers.Dense(1, name="a")(h), layers.Dense(3, name="b")(h)])
        losses = {"a": "mse", "b": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
        model.compile("adam", losses, {"a": 1.0, "b": 0.5}, metrics={"a": ["mae"], "b": ["accuracy"]})
        y = {"a": Y, "b": (Y[:, 0] > 0).astype("int32")}
        history = model.fit(X, y, validation_data=(X, y), **TRAINING).history
        return model, history, model.evaluate(X, y, batch_size=12, verbose=0, return_dict=True)

    (plain, history, found), (own, own_history, own_found) = map(trained_pair, (keras.Model, ByDefault))
    assert list(history) == list(own_history) and set(found) == set(own_found) >= {"a_loss", "b_loss", "a_mae"}
    for name in history:
        assert np.allclose(history[name], own_history[name], atol=1e-6), name
    assert all(np.array_equal(a, b) for a, b in zip(plain.get_weights(), own.get_weights(), strict=True))


def test_a_sequential_model_with_a_train_step():
    class Own(keras.Sequential):
        def train_step(self, data):
            logs = super().train_step(data)
            return logs | {"steps": self.optimizer.iterations}

    model = Own([keras.Input((5, 3)), layers.GRU(3), layers.Dense(1)])
    model.compile("adam", "mse")
    assert model.fit(X, Y, **TRAINING).history["steps"] == [4, 8, 12]
    unbuilt = Own([layers.GRU(3), layers.Dense(1)])
    unbuilt.compile("adam", "mse")
    assert unbuilt.fit(X, Y, **TRAINING).history["steps"] == [4, 8, 12]


def test_a_class_that_changes_no_call_is_repeated_as_the_one_it_is_derived_from():
    class Steps(keras.Sequential):
        def train_step(self, data):
            return super().train_step(data)

        def helper(self):
            return 1

    class Calls(keras.Sequential):
        def __call__(self, inputs, mask=None, training=False):
            return 2 * super().__call__(inputs, mask, training)

    class Deeper(Calls):
        def train_step(self, data):
            return super().train_step(data)

    class Again(Steps):
        """Of a class that is derived itself."""

    made = [kind([keras.Input((5, 3)), layers.GRU(3)]) for kind in (Steps, Calls, Deeper, Again)]
    assert [are_own([one]) for one in made] == [True, False, False, True]
    assert np.array_equal(made[1](X), 2 * keras.Sequential(made[1].layers)(X))


@pytest.mark.parametrize("name", ["make_train_function", "make_test_function", "make_predict_function"])
def test_a_method_that_nothing_would_call_is_refused(name):
    model = keras.Model(*parts())
    for make in (lambda: type("Own", (keras.Model,), {name: len}), lambda: setattr(model, name, len)):
        with pytest.raises(NotImplementedError, match=rf"without {name}.*define train_step"):
            make()


def test_what_a_step_can_not_do_is_said_at_once():
    class Own(keras.Model):
        def train_step(self, data):
            return self.told

    model = Own(*parts())
    model.compile("adam", "mse")
    for told, error in ((None, "to return a dict"), ({"a": np.ones(2)}, "one number for 'a'")):
        model.told = told
        with pytest.raises((TypeError, ValueError), match=error):
            model.fit(X, Y, verbose=0)
    with pytest.raises(NotImplementedError, match="no class_weight"):
        model.fit(X, Y, class_weight={0: 1.0}, verbose=0)
    empty = ByDefault(*parts())
    empty.compile("adam")
    with pytest.raises(ValueError, match=r"expected a loss of .*call compile\(loss"):
        empty.fit(X, Y, verbose=0)
    with pytest.raises(TypeError, match="unknown"):
        Own(*parts(), unknown=1)


def test_a_model_of_inputs_and_outputs_of_a_class_of_ones_own_is_a_model(tmp_path):
    """Its layers, its weights' order, its configuration and its files."""
    x, other = keras.Input((5, 3), name="x"), keras.Input((5, 3), name="other")
    h = layers.Concatenate()([layers.GRU(2, name="b")(x), layers.GRU(3, name="a")(other)])
    outputs = [layers.Dense(1, name="second")(h), layers.Dense(2, name="first")(h)]
    plain, own = keras.Model([x, other], outputs), FromTape(inputs=[x, other], outputs=outputs)
    assert [one.name for one in own.layers] == [one.name for one in plain.layers]
    assert own.get_layer("a") is plain.get_layer("a") and own.inputs[0].shape == (None, 5, 3) and own.built
    for one, array, variable in zip(plain.get_weights(), own.get_weights(), own.variables, strict=True):
        assert np.array_equal(one, array) and np.array_equal(array, variable)
    new = [one + 1 for one in own.get_weights()]
    own.set_weights(new)
    assert all(np.array_equal(one, array) for one, array in zip(new, plain.get_weights(), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(own([X, X]), plain([X, X]), strict=True))
    copied = keras.models.clone_model(own)
    assert type(copied) is FromTape and [one.shape for one in copied.variables] == [one.shape for one in own.variables]
    keras.saving.register_keras_serializable("tests_of_steps")(FromTape)
    own.save(tmp_path / "own.keras")
    again = keras.models.load_model(tmp_path / "own.keras")
    assert type(again) is FromTape and np.array_equal(again.predict([X, X], verbose=0)[1], own([X, X])[1])


def test_gradients_of_pytorch_are_refused_by_name():
    with pytest.raises(NotImplementedError, match="tape.gradient"):
        FromTape(*parts()).zero_grad()


# Tapes


def test_gradients_of_numpy_functions_and_variables():
    """Each against differences."""
    w = keras.Variable(RNG.normal(size=(3, 4)), dtype="float64")
    functions = [
        lambda w: ops.sum(ops.tanh(w) * w),
        lambda w: ops.mean(ops.square(w[1:, ::2] - 1.0)),
        lambda w: ops.sum(ops.softmax(ops.matmul(w, ops.transpose(w)))[:, 0]),
        lambda w: ops.sum(ops.concatenate([w, 2 * w], axis=0)[4] ** 3),
        lambda w: ops.logsumexp(w.reshape(12)),
        lambda w: sum(ops.max(row) for row in w),
        lambda w: ops.sum(ops.where(w > 0, w, 0.1 * w)) / ops.norm(w),
        lambda w: (w + rk.stop_gradient(w)).sum() + w.mean(),
        lambda w: ops.sum(ops.take(w, np.array([0, 0, 2]), axis=0) * ops.relu(w)),
    ]
    direction = RNG.normal(size=(3, 4))
    for function in functions:
        with keras.GradientTape() as tape:
            value = function(1 * w)
        gradient = tape.gradient(value, w)
        ends = [function(w.numpy() + sign * 1e-6 * direction) for sign in (1, -1)]
        if function is functions[7]:
            gradient = gradient + 1.0  # what stop_gradient leaves out
        assert np.isclose((ends[0] - ends[1]) / 2e-6, np.sum(gradient * direction), rtol=1e-5)
        assert np.isclose(float(value), function(w.numpy()))


def test_what_a_tape_does_not_know_is_an_error():
    layer = layers.Dense(2)
    x = np.ones((3, 4), "float32")
    with keras.GradientTape() as tape:
        y = layer(x)
        with pytest.raises(TypeError, match="no gradient goes"):
            np.asarray(y)
        assert y.numpy().shape == (3, 2) and float(y[0, 0]) == y.numpy()[0, 0]
        with pytest.raises(ValueError, match="outside of the block"):
            tape.gradient(y, layer.trainable_variables)
    with pytest.raises(ValueError, match="inside of `with tape:`"):
        tape.gradient(np.ones(3), layer.trainable_variables)
    with pytest.raises(ValueError, match=r"x = tape.watch\(x\)"):
        tape.gradient(y, x)
    other = layers.Dense(2)
    other.build((None, 4))
    assert tape.gradient(y, other.kernel) is None
    with pytest.raises(ValueError, match="gives one number"):
        keras.value_and_grad(lambda w: w * 2)(np.ones(3))
    value, gradient = keras.value_and_grad(lambda w, x: 3.0, argnums=1)(np.ones(3), [np.ones(2)])
    assert value == 3 and np.array_equal(gradient[0], np.zeros(2))
    with pytest.raises(ValueError, match="got none"):
        keras.optimizers.SGD().apply([None], [other.kernel])
    with pytest.warns(UserWarning, match="no gradient for .*/bias, which 'sgd.*' leaves"):
        keras.optimizers.SGD().apply([np.ones((4, 2)), None], other.variables)


def test_an_input_can_be_watched_and_two_tapes_share_a_block():
    layer, x = layers.GRU(3), X[:4]
    with keras.GradientTape() as first, keras.GradientTape(persistent=True) as second:
        watched = first.watch(x)
        y = layer(watched)
        loss = ops.sum(y * y)
    y, pullback = layer.vjp(x)
    expected = pullback(2 * y)
    assert np.array_equal(first.gradient(loss, watched), expected.x)
    assert np.array_equal(second.gradient(loss, layer.kernel), expected.weights["kernel"])
    assert np.allclose(second.gradient(loss, [layer.bias], output_gradients=2.0)[0], 2 * expected.weights["bias"])
