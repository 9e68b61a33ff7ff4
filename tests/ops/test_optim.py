import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vadjax.ops import optim


@pytest.mark.golden
def test_adagrad_follows_torch(golden):
    case = np.load(golden / "mil" / "adagrad.npz")
    optimizer = optim.adagrad(float(case["lr"]), float(case["weight_decay"]), float(case["eps"]))
    params = jnp.asarray(case["w0"])
    state = optimizer.init(params)
    for gradient, expected, sums in zip(
        case["grads"], case["params"], case["state_sum"], strict=True
    ):
        updates, state = optimizer.update(jnp.asarray(gradient), state, params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params, expected, atol=2e-6, rtol=0)
        np.testing.assert_allclose(state.sum_of_squares, sums, rtol=1e-5)


@pytest.mark.golden
def test_multistep_follows_torch(golden):
    rates = np.load(golden / "mil" / "mil_learner.npz")["lr_per_epoch"]
    steps = 27
    drops = np.flatnonzero(np.diff(rates)) + 1
    schedule = optim.multistep(float(rates[0]), [int(epoch) * steps for epoch in drops], 0.1)
    for epoch, rate in enumerate(rates):
        for step in (epoch * steps, epoch * steps + steps - 1):
            np.testing.assert_allclose(schedule(step), rate, rtol=1e-6)


def test_adagrad_without_parameters_is_refused():
    optimizer = optim.adagrad(0.1)
    with pytest.raises(ValueError, match="needs the parameters"):
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))


def test_cosine_steps_once_an_epoch():
    schedule = optim.cosine_by_epoch(2e-4, 60, 60 * 7 + 3)
    epochs = np.arange(60)
    expected = 1e-4 * (1 + np.cos(np.pi * epochs / 60))  # spec lgn_net §3
    for offset in (0, 6):
        rates = [float(schedule(7 * epoch + offset)) for epoch in epochs]
        np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-10)
    with pytest.raises(ValueError, match="5, fewer than the 60"):
        optim.cosine_by_epoch(2e-4, 60, 5)
