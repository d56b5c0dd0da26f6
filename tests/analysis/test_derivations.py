"""Derivatives as papers and textbooks derive them, in slow loops over numbers, beside those that rnnkit gives."""

import itertools

import numpy as np
import pytest
from cells_under_test import PeepholeLSTMCell
from corpus_runs import CORPUS, drawn, layer_of
from paper_loops import garch, heston, soft_dtw
from paper_steps import WIDE
from scipy.special import logsumexp

import rnnkit as rk

GARCH = {"omega": 0.1, "alpha": 0.1, "gamma": 0.05, "beta": 0.7}


def same(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def of_corpus(name, steps):
    """A layer, a row of data and the constants of the module that the recurrence stands in."""
    recurrence = next(one for one in CORPUS if one.name == name)
    x, _ = drawn(recurrence, 1, steps)
    return layer_of(recurrence, "float64"), x, recurrence.step.__globals__


def of_cell(cell, features, rng, steps=9):
    """A layer, a row of data, the weights, and cotangents and gradients of the outputs."""
    layer = rk.RNN(cell, return_sequences=True, dtype="float64", seed=1)
    x = rng.normal(size=(1, steps, features))
    y, pull = layer.vjp(x)
    d = rng.normal(size=y.shape)
    return x[0], {name: np.array(array) for name, array in layer.weights.items()}, d[0], pull(d)


# Likelihoods


def garch_slopes(x, values):
    """The variances, and their first derivatives by the parameters (Bollerslev 1986, eq. 21)."""
    h, e, slope = 0.05, 0.0, np.zeros(4)
    for x_t in x:
        z = np.array([1.0, e * e, e * e * (e < 0), h])
        slope, h, e = z + values[3] * slope, values @ z, x_t
        yield h, slope


def test_the_score_of_garch(rng):
    """Bollerslev 1986, eq. 19: the sum of (x² / h - 1) / 2h times the derivative of h."""
    x = rng.normal(size=60)
    y, pull = garch.vjp(x, **GARCH)
    found = pull(np.ones_like(y)).parameters
    score = np.zeros(4)
    for x_t, (h, slope) in zip(x, garch_slopes(x, np.array([*GARCH.values()])), strict=True):
        score += 0.5 / h * (x_t**2 / h - 1) * slope
    same([found[name] for name in GARCH], score)


def test_the_hessian_of_garch(rng):
    """Fiorentini, Calzolari and Panattoni 1996: the second derivatives of h follow a recursion as the first ones do."""
    x, beta = rng.normal(size=60), GARCH["beta"]
    found = rk.hessian(garch, x, by=list(GARCH), **GARCH)
    hessian, second, before = np.zeros((4, 4)), np.zeros((4, 4)), np.zeros(4)
    for x_t, (h, slope) in zip(x, garch_slopes(x, np.array([*GARCH.values()])), strict=True):
        second = beta * second
        second[3] += before
        second[:, 3] += before
        by_h, by_hh = 0.5 / h * (x_t**2 / h - 1), 0.5 / h**2 - x_t**2 / h**3
        hessian += by_hh * np.outer(slope, slope) + by_h * second
        before = slope
    same([[found[a][b] for b in GARCH] for a in GARCH], hessian)


@rk.loop
def trend(y, m=np.zeros(2), P=np.eye(2), *, F, q, r):
    """A Kalman filter of two states of which one is seen, with gaps."""
    m, P = F @ m, F @ P @ F.T + q * np.eye(2)
    if np.isnan(y):
        return 0.0, (m, P)
    S, v = P[0, 0] + r, y - m[0]
    K = P[:, 0] / S
    return -0.5 * (np.log(S) + v * v / S), (m + K * v, P - np.outer(K, P[0]))


def test_the_score_of_a_kalman_filter(rng):
    """Harvey 1989, section 3.4: the innovations, their variances and the filter are differentiated beside it."""
    y, F, q, r = rng.normal(size=40), np.array([[0.9, 0.2], [-0.1, 0.8]]), 0.3, 0.5
    y[[3, 4, 20]] = np.nan
    value, pull = trend.vjp(y, F=F, q=q, r=r)
    found = pull(np.ones_like(value)).parameters
    units = np.eye(6)
    scores = [kalman_score(y, F, q, r, one[:4].reshape(2, 2), one[4], one[5]) for one in units]
    same([*found["F"].ravel(), found["q"], found["r"]], scores)


def kalman_score(y, F, q, r, dF, dq, dr):
    m, P, dm, dP, score = np.zeros(2), np.eye(2), np.zeros(2), np.zeros((2, 2)), 0.0
    for y_t in y:
        m, dm = F @ m, dF @ m + F @ dm
        P, dP = F @ P @ F.T + q * np.eye(2), dF @ P @ F.T + F @ dP @ F.T + F @ P @ dF.T + dq * np.eye(2)
        if np.isnan(y_t):
            continue
        S, dS, v, dv = P[0, 0] + r, dP[0, 0] + dr, y_t - m[0], -dm[0]
        score += -0.5 * dS / S * (1 - v * v / S) - dv * v / S
        K, dK = P[:, 0] / S, dP[:, 0] / S - P[:, 0] * dS / S**2
        m, dm = m + K * v, dm + dK * v + K * dv
        P, dP = P - np.outer(K, P[0]), dP - np.outer(dK, P[0]) - np.outer(K, dP[0])
    return score


@rk.loop
def autoregression(x, last=0.0, *, phi, sigma):
    e = x - phi * last
    return -np.log(sigma) - 0.5 * (e / sigma) ** 2, x


def test_the_information_of_an_autoregression(rng):
    """Hamilton 1994, section 5.2; a natural gradient step (Amari 1998) for phi ends at least squares."""
    x, phi, sigma = rng.normal(size=50), 0.3, 1.4
    found = rk.hessian(autoregression, x, by=["phi", "sigma"], phi=phi, sigma=sigma)
    by_phi, by_both, by_sigma, products, squares, last = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for x_t in x:
        e = x_t - phi * last
        by_phi -= last**2 / sigma**2
        by_both -= 2 * e * last / sigma**3
        by_sigma += 1 / sigma**2 - 3 * e**2 / sigma**4
        products, squares, last = products + x_t * last, squares + last**2, x_t
    same([found["phi"]["phi"], found["phi"]["sigma"], found["sigma"]["sigma"]], [by_phi, by_both, by_sigma])
    y, pull = autoregression.vjp(x, phi=phi, sigma=sigma)
    score = pull(np.ones_like(y)).parameters["phi"]
    same(phi - score / found["phi"]["phi"], products / squares)


@rk.loop
def smoothing(x, level=0.0, *, alpha):
    e = x - level
    return e * e, level + alpha * e


def test_the_derivatives_of_exponential_smoothing(rng):
    """Box and Jenkins 1970, section 7.2: of an integrated moving average, whose errors those of the smoothing are."""
    x, alpha = rng.normal(size=50).cumsum(), 0.3
    y, pull = smoothing.vjp(x, alpha=alpha)
    slope, e, de, level = 0.0, 0.0, 0.0, 0.0
    for x_t in x:
        # e' = x - level, and the level has moved by alpha e since the step before
        de, e = (1 - alpha) * de - e, x_t - level
        slope, level = slope + 2 * e * de, level + alpha * e
    same(pull(np.ones_like(y)).parameters["alpha"], slope)


# Chains of hidden states


def forward_backward(b, start, A):
    """The posteriors of states and of pairs of states (Rabiner 1989, eq. 19 to 27 and 37), not scaled."""
    T, n = b.shape
    alpha, beta = np.zeros((T, n)), np.ones((T, n))
    for t in range(T):
        for j in range(n):
            alpha[t, j] = sum((start if t == 0 else alpha[t - 1])[i] * A[i, j] for i in range(n)) * b[t, j]
    for t in reversed(range(T - 1)):
        for i in range(n):
            beta[t, i] = sum(A[i, j] * b[t + 1, j] * beta[t + 1, j] for j in range(n))
    total = alpha[-1].sum()
    before = np.concatenate([start[None], alpha[:-1]])
    pairs = before[:, :, None] * A * (b * beta)[:, None, :] / total
    return alpha * beta / total, pairs


def test_the_posteriors_of_a_hidden_markov_model():
    """Rabiner 1989, eq. 27: the slope of the log likelihood is that of the emissions under the posterior."""
    layer, x, known = of_corpus("hmm_forward", 12)
    y, pull = layer.vjp(x)
    away = x[0] - known["LEVELS"]
    start = np.full(known["HIDDEN"], 1 / known["HIDDEN"])
    posterior, _ = forward_backward(np.exp(-0.5 * away**2), start, known["MOVES"])
    same(pull(np.ones_like(y)).x[0, :, 0], -(posterior * away).sum(axis=1))


@rk.loop
def chain(b, alpha=np.full(3, 1 / 3), *, A):
    alpha = alpha @ A * b
    return np.log(alpha.sum()), alpha / alpha.sum()


def test_the_statistics_of_baum_and_welch(rng):
    """Baum et al. 1970: expected transitions are the slopes by the logarithms of the transitions' probabilities."""
    b, A = rng.uniform(0.1, 1, (15, 3)), rng.dirichlet(np.ones(3), 3)
    y, pull = chain.vjp(b, A=A)
    found = pull(np.ones_like(y))
    states, pairs = forward_backward(b, np.full(3, 1 / 3), A)
    same(found.parameters["A"] * A, pairs.sum(axis=0))
    same(found.x * b, states)


def test_the_marginals_of_a_random_field():
    """Sutton and McCallum 2012, section 4: the slopes of the partition function by the scores; over all paths."""
    layer, x, known = of_corpus("crf_forward", 4)
    labels, pairs = known["LABELS"], known["PAIRS"]
    x[0, :, labels] = [1, 0, 0, 0]
    y, pull = layer.vjp(x)
    paths = list(itertools.product(range(labels), repeat=4))
    scores = [
        sum(x[0, t, path[t]] for t in range(4)) + sum(pairs[a, b] for a, b in itertools.pairwise(path))
        for path in paths
    ]
    total = logsumexp(scores)
    marginals = np.zeros((4, labels))
    for path, score in zip(paths, scores, strict=True):
        marginals[np.arange(4), path] += np.exp(score - total)
    same(y.sum(), total)
    same(pull(np.ones_like(y)).x[0, :, :labels], marginals)


def test_the_gradient_of_soft_time_warping(rng):
    """Cuturi and Blondel 2017, algorithm 2."""
    x, template, gamma = rng.normal(size=7), rng.normal(size=5), 0.5
    y, pull = soft_dtw.vjp(x, template=template, gamma=gamma)
    found = pull(np.eye(7)[-1])
    n, m = 7, 5
    D, R = np.zeros((n + 2, m + 2)), np.full((n + 2, m + 2), np.inf)
    R[0, 0] = 0
    D[1:-1, 1:-1] = (x[:, None] - template) ** 2
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            before = np.array([R[i - 1, j - 1], R[i - 1, j], R[i, j - 1]])
            R[i, j] = D[i, j] - gamma * logsumexp(-before / gamma)
    same(y, R[1:-1, m])
    R[:, m + 1] = R[n + 1] = -np.inf
    R[n + 1, m + 1] = R[n, m]
    E = np.zeros((n + 2, m + 2))
    E[n + 1, m + 1] = 1
    for j in range(m, 0, -1):
        for i in range(n, 0, -1):
            for a, b in ((1, 0), (0, 1), (1, 1)):
                E[i, j] += E[i + a, j + b] * np.exp((R[i + a, j + b] - R[i, j] - D[i + a, j + b]) / gamma)
    slopes = 2 * (x[:, None] - template) * E[1:-1, 1:-1]
    same(found.x, slopes.sum(axis=1))
    same(found.parameters["template"], -slopes.sum(axis=0))


# Networks


def test_backpropagation_through_an_lstm(rng):
    """Greff et al. 2017, section II.B: the vanilla LSTM with peepholes."""
    n, T = 3, 9
    x, w, d, found = of_cell(PeepholeLSTMCell(n), 2, rng, T)
    W, R = w["kernel"][:2], w["kernel"][2:]
    p_i, p_f, p_o = w["peephole"]
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    y, c, steps = np.zeros(n), np.zeros(n), []
    for t in range(T):
        a_i, a_f, a_z, a_o = np.split(x[t] @ W + y @ R + w["bias"], 4)
        z, i, f = np.tanh(a_z), sigmoid(a_i + p_i * c), sigmoid(a_f + p_f * c)
        before, c = (y, c), z * i + c * f
        o = sigmoid(a_o + p_o * c)
        y = np.tanh(c) * o
        steps.append((before, z, i, f, o, c))
    slopes = {name: np.zeros_like(array) for name, array in w.items()}
    d_x, later, d_i, d_f, d_c, next_f = (
        np.zeros_like(x),
        np.zeros(4 * n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
    )
    for t in reversed(range(T)):
        (y_before, c_before), z, i, f, o, c = steps[t]
        d_y = d[t] + R @ later
        d_o = d_y * np.tanh(c) * o * (1 - o)
        d_c = d_y * o * (1 - np.tanh(c) ** 2) + p_o * d_o + p_i * d_i + p_f * d_f + d_c * next_f
        d_f = d_c * c_before * f * (1 - f)
        d_i = d_c * z * i * (1 - i)
        d_z = d_c * i * (1 - z**2)
        later, next_f = np.concatenate([d_i, d_f, d_z, d_o]), f
        d_x[t] = W @ later
        slopes["kernel"] += np.outer(np.concatenate([x[t], y_before]), later)
        slopes["bias"] += later
        slopes["peephole"] += [c_before * d_i, c_before * d_f, c * d_o]
    same(found.x[0], d_x)
    for name, slope in slopes.items():
        same(found.weights[name], slope)


def test_real_time_recurrent_learning(rng):
    """Williams and Zipser 1989, section 2: sensitivities that go forward give the gradient that goes back."""
    n = 4
    x, w, d, found = of_cell(rk.SimpleRNNCell(n), 3, rng)
    R, h = w["recurrent_kernel"], np.zeros(n)
    p, total = np.zeros((n, n, n)), np.zeros((n, n))
    for x_t, d_t in zip(x, d, strict=True):
        new, moved = np.tanh(x_t @ w["kernel"] + h @ R + w["bias"]), np.zeros_like(p)
        for k, i, j in itertools.product(range(n), repeat=3):
            moved[k, i, j] = (1 - new[k] ** 2) * (sum(R[l, k] * p[l, i, j] for l in range(n)) + (j == k) * h[i])
        h, p = new, moved
        total += np.einsum("k,kij->ij", d_t, p)
    same(found.weights["recurrent_kernel"], total)


def test_the_adjoint_of_a_linear_recurrence(rng):
    """Martin and Cundy 2018, section 2: a linear recurrence back through time, with the decays of the next step."""

    @rk.loop
    def linear(x, h=0.0):
        h = x[0] * h + x[1]
        return h, h

    x, d = rng.normal(size=(20, 2)), rng.normal(size=20)
    _, pull = linear.vjp(x)
    found = pull(d).x
    h = [0.0]
    for decay, u in x:
        h.append(decay * h[-1] + u)
    g = 0.0
    for t in reversed(range(20)):
        g = d[t] + (x[t + 1, 0] * g if t < 19 else 0.0)
        same(found[t], [g * h[t], g])


def test_the_lyapunov_exponents_of_an_echo_state_network(rng):
    """Benettin et al. 1980: the growth of vectors that are made orthogonal at each step."""
    leak, n, steps = 0.4, 6, 60
    layer = rk.RNN(rk.ESNCell(n, leak=leak), dtype="float64", seed=0)
    x = rng.normal(size=(1, steps, 1))
    _, (h,) = layer.trajectory(x)
    before = np.concatenate([np.zeros((1, 1, n)), h[:, :-1]], axis=1)[0]
    found = rk.jacobian(layer, x[0], before).matrix
    w = {name: np.array(array) for name, array in layer.weights.items()}
    state, Q, growth, ours, ours_Q = np.zeros(n), np.eye(n), np.zeros(n), np.zeros(n), np.eye(n)
    for t in range(steps):
        z = np.tanh(x[0, t] @ w["kernel"] + state @ w["recurrent_kernel"] + w["bias"])
        jacobian = (1 - leak) * np.eye(n) + leak * (1 - z**2)[:, None] * w["recurrent_kernel"].T
        state = (1 - leak) * state + leak * z
        same(found[t], jacobian)
        Q, R = np.linalg.qr(jacobian @ Q)
        growth += np.log(np.abs(np.diag(R))) / steps
        ours_Q, R = np.linalg.qr(found[t] @ ours_Q)
        ours += np.log(np.abs(np.diag(R))) / steps
    same(ours, growth)
    assert growth[0] < 0


# Neurons that spike


def surrogate(v):
    return 1 / (1 + 25 * np.abs(v)) ** 2


def test_eligibility_traces_of_spiking_neurons(rng):
    """Bellec et al. 2020, methods: of one layer without recurrent weights, e-prop is the gradient."""
    x, w, d, found = of_cell(WIDE["LIF"].cell(units=5), 3, rng, 30)
    v, s, filtered, total = np.zeros(5), np.zeros(5), np.zeros(3), np.zeros((3, 5))
    spikes = 0.0
    for x_t, d_t in zip(x, d, strict=True):
        filtered = 0.9 * filtered + x_t
        v = 0.9 * v + x_t @ w["kernel"] - s
        s = (v > 1) * 1.0
        total += np.outer(filtered, d_t * surrogate(v - 1))
        spikes += s.sum()
    same(found.weights["kernel"], total)
    assert spikes > 5


def test_backpropagation_through_adaptive_spiking_neurons(rng):
    """Bellec et al. 2018, section 2: through spikes by a surrogate, and through what a spike adds to the threshold."""
    n, T = 5, 30
    x, w, d, found = of_cell(WIDE["ALIF"].cell(units=n), 3, rng, T)
    K, R = w["kernel"], w["recurrent"]
    v, s, a, steps = np.zeros(n), np.zeros(n), np.zeros(n), []
    for t in range(T):
        before, a = s, 0.95 * a + s
        v = 0.9 * v + x[t] @ K + s @ R - s * (1 + 0.1 * a)
        s = (v > 1 + 0.1 * a) * 1.0
        steps.append((before, v - 1 - 0.1 * a))
    d_x, d_K, d_R = np.zeros_like(x), np.zeros_like(K), np.zeros_like(R)
    d_v, d_s, d_a = np.zeros(n), np.zeros(n), np.zeros(n)
    for t in reversed(range(T)):
        before, over = steps[t]
        through = (d[t] + d_s) * surrogate(over)
        d_v = d_v + through
        d_a = d_a - 0.1 * through - 0.1 * before * d_v
        d_x[t] = K @ d_v
        d_K += np.outer(x[t], d_v)
        d_R += np.outer(before, d_v)
        d_s = R @ d_v + d_a
        d_v, d_a = 0.9 * d_v, 0.95 * d_a
    same(found.x[0], d_x)
    same(found.weights["kernel"], d_K)
    same(found.weights["recurrent"], d_R)
    assert sum(before.sum() for before, _ in steps) > 5


# Paths


@pytest.mark.parametrize("name", ["price", "v", "kappa", "theta", "xi", "rho"])
def test_pathwise_derivatives_of_an_option(name):
    """Broadie and Glasserman 1996: each path's derivative, of a call option under Heston's model."""
    dt, strike, start = 1 / 252, 1.0, {"price": 1.0, "v": 0.04}
    given = {"kappa": 1.5, "theta": 0.04, "xi": 0.3, "rho": -0.7}
    y, pull = heston.vjp(np.full((40, 25, 1), dt), **given, **start)
    d = np.zeros_like(y)
    d[:, -1, 0] = y[:, -1, 0] > strike
    found = pull(d)
    kappa, theta, xi, rho = given.values()
    d_kappa, d_theta, d_xi, d_rho = (1.0 * (name == one) for one in given)
    total = 0.0
    for path in y:
        price, v, d_log, d_v = *start.values(), 1.0 * (name == "price") / start["price"], 1.0 * (name == "v")
        for new_price, new_v in path:
            spread = np.sqrt(v * dt)
            z = (np.log(new_price / price) + 0.5 * v * dt) / spread
            other = (new_v - v - kappa * (theta - v) * dt) / (xi * spread)
            d_other = d_rho * z - rho * d_rho * (other - rho * z) / (1 - rho**2)
            d_spread = 0.5 * dt * d_v / spread
            d_log += d_spread * z - 0.5 * dt * d_v
            d_v += (d_kappa * (theta - v) + kappa * (d_theta - d_v)) * dt
            d_v += (d_xi * spread + xi * d_spread) * other + xi * spread * d_other
            price, v = new_price, new_v
        total += (price > strike) * price * d_log
    ours = found.parameters[name] if name in given else found.states[name]
    np.testing.assert_allclose(ours, total, rtol=1e-8)
    if name == "price":
        same(total, (y[:, -1, 0] * (y[:, -1, 0] > strike)).sum())
