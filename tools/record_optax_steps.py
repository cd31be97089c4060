"""Record 20 steps of optax's optimizers on a small problem, for tests/optim to compare with.

Run where jax and optax are installed: ``python -m tools.record_optax_steps``. It writes tests/optim/optax_steps.json.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tests.optim.problem import loss, start

jax.config.update("jax_enable_x64", True)

STEPS = 20
# name -> (optimizer, the same call as text for fad.optim)
OPTIMIZERS = {
    "sgd": "sgd(0.01)",
    "sgd_momentum": "sgd(0.01, momentum=0.9)",
    "sgd_nesterov": "sgd(0.01, momentum=0.9, nesterov=True)",
    "adam": "adam(0.05)",
    "adamw": "adamw(0.05, weight_decay=0.1)",
    "nadam": "nadam(0.05)",
    "nadamw": "nadamw(0.05, weight_decay=0.1)",
    "amsgrad": "amsgrad(0.05)",
    "radam": "radam(0.05)",
    "radam_late": "radam(0.05, b2=0.9)",
    "adagrad": "adagrad(0.5)",
    "adadelta": "adadelta(1.0, weight_decay=0.01)",
    "rmsprop": "rmsprop(0.05)",
    "rmsprop_centered": "rmsprop(0.05, centered=True, momentum=0.5, nesterov=True)",
    "lion": "lion(0.02)",
    "lamb": "lamb(0.05, weight_decay=0.01)",
    "adafactor": "adafactor(0.05, min_dim_size_to_factor=3, momentum=0.9, weight_decay_rate=1e-3)",
    "adafactor_plain": "adafactor(min_dim_size_to_factor=128)",
    "muon": "muon(0.05)",
    "adabelief": "adabelief(0.05)",
    "adabelief_nesterov": "adabelief(0.05, nesterov=True)",
    "yogi": "yogi(0.05)",
    "adamax": "adamax(0.05)",
    "adamaxw": "adamaxw(0.05, weight_decay=0.1)",
    "sign_sgd": "sign_sgd(0.01)",
    "signum": "signum(0.01)",
    "optimistic": "optimistic_gradient_descent(0.01, 0.9, 0.7)",
    "lars": "lars(0.5, weight_decay=0.01, trust_coefficient=0.05, weight_decay_mask={'w': True, 'b': False, 's': True})",
    "nonnegative": "chain(sgd(0.05), keep_params_nonnegative())",
    "clipped": "chain(clip_by_global_norm(0.5), adam(0.05))",
    "clipped_elements": "chain(clip(0.1), sgd(0.3))",
    "scheduled": "adam(cosine_decay_schedule(0.1, 15))",
    "warm": "sgd(warmup_cosine_decay_schedule(0.0, 0.02, 5, 15, 0.001))",
    "onecycle": "sgd(linear_onecycle_schedule(20, 0.02))",
    "cosine_onecycle": "sgd(cosine_onecycle_schedule(20, 0.02))",
    "exponential": "sgd(exponential_decay(0.02, 5, 0.5, staircase=True))",
    "polynomial": "sgd(polynomial_schedule(0.02, 0.001, 2.0, 15))",
    "piecewise": "sgd(piecewise_constant_schedule(0.02, {5: 0.5, 10: 0.1}))",
    "lookahead_free_ema": "chain(ema(0.9), sgd(0.01))",
    "agc": "chain(adaptive_grad_clip(0.05), sgd(0.1))",
    "masked": "chain(masked(scale(0.1), {'w': True, 'b': False, 's': False}), sgd(0.01))",
    "groups": "multi_transform({'fast': adam(0.05), 'slow': sgd(0.001)}, {'w': 'fast', 'b': 'slow', 's': 'fast'})",
    "accumulated": "MultiSteps(adam(0.05), 3)",
    "injected": "inject_hyperparams(adam)(learning_rate=cosine_decay_schedule(0.1, 15), b1=0.8)",
    "finite_only": "apply_if_finite(adam(0.05), 2)",
}
# These see the loss itself, the same at each step.
SEARCHES = {
    "lbfgs": "lbfgs()",
    "lbfgs_plain": "lbfgs(0.1, memory_size=3, linesearch=None)",
    "lbfgs_unscaled": "lbfgs(memory_size=4, scale_init_precond=False)",
    "lbfgs_backtracking": "lbfgs(linesearch=scale_by_backtracking_linesearch(20))",
    "zoom": "chain(sgd(1.0), scale_by_zoom_linesearch(15))",
    "backtracking": "chain(sgd(1.0), scale_by_backtracking_linesearch(20))",
}


CALLS = {"steps": OPTIMIZERS, "searches": SEARCHES}


def path_of(call, steps):
    """Parameters after some of the steps of the optimizer that a text stands for."""
    names = {n: getattr(optax, n) for n in dir(optax) if not n.startswith("_")}
    names["muon"] = optax.contrib.muon
    optimizer = eval(call, names)
    params = {k: jnp.asarray(v) for k, v in start().items()}
    optimizer = optax.with_extra_args_support(optimizer)
    state = optimizer.init(params)
    path = []
    for step in range(STEPS):
        value_fn = lambda p: loss(jnp, p, step if steps else 0)  # noqa: B023, E731
        value, gradient = jax.value_and_grad(value_fn)(params)
        updates, state = optimizer.update(gradient, state, params, value=value, grad=gradient, value_fn=value_fn)
        params = optax.apply_updates(params, updates)
        path.append({k: np.asarray(v).tolist() for k, v in params.items()} if step in (0, 1, 9, 19) else None)
    return path


def main():
    """Run every optimizer and write the numbers."""
    recorded = {"optax": optax.__version__, "jax": jax.__version__, "steps": {}, "searches": {}}
    for kind, calls in CALLS.items():
        for name, call in calls.items():
            recorded[kind][name] = {"call": call, "path": path_of(call, kind == "steps")}
    folder = Path(__file__).parent.parent / "tests" / "optim"
    folder.mkdir(exist_ok=True)
    (folder / "optax_steps.json").write_text(json.dumps(recorded))


if __name__ == "__main__":
    main()
