"""Relatives of Adam and of momentum: other second moments, signs, ratios of norms. Numbers, defaults and the order of operations are optax's."""

from __future__ import annotations

from typing import Any, NamedTuple

import fad.numpy as fnp
import fad.tree as tree
from fad.optim.clipping import add_decayed_weights
from fad.optim.moments import MomentState, corrected, moment, scale_by_trust_ratio, squared, trace, zeros_like
from fad.optim.transformation import GradientTransformation, chain, need_params, scale_by_learning_rate
from fad.optim.wrappers import ema, masked

__all__ = [
    "adabelief",
    "adamax",
    "adamaxw",
    "incremental_update",
    "keep_params_nonnegative",
    "lars",
    "optimistic_gradient_descent",
    "scale_by_adamax",
    "scale_by_belief",
    "scale_by_optimistic_gradient",
    "scale_by_sign",
    "scale_by_yogi",
    "sign_sgd",
    "signum",
    "yogi",
]


class PreviousGradientState(NamedTuple):
    """Whether there has been no step yet, and the gradient of the last one."""

    is_initial_step: Any
    previous_gradient: Any


def _filled(params: Any, value: float = 0.0) -> MomentState:
    mu = tree.map(lambda p: fnp.full_like(fnp.asarray(p), value), params)
    return MomentState(fnp.asarray(0), mu, tree.map(lambda p: fnp.full_like(fnp.asarray(p).real, value), params))


# --- transformations ------------------------------------------------------------------------------------------------------------------------------------


def scale_by_belief(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-16, eps_root: float = 1e-16, *, nesterov: bool = False
) -> GradientTransformation:
    """Running mean over the root of the running mean square of what it failed to predict (Zhuang et al., arXiv:2010.07468).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_belief()
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(4)
    Array([1.1111])
    """

    def update(updates: Any, state: MomentState, params: Any = None) -> tuple[Any, MomentState]:
        mu, count = moment(b1, updates, state.mu), state.count + 1
        surprise = tree.map(lambda g, m: g - m, updates, mu)
        nu = tree.map(lambda v: v + eps_root, moment(b2, surprise, state.nu, 2))
        if nesterov:
            ahead, now = corrected(b1, count + 1, mu), corrected(b1, count, updates)
            mu_hat = tree.map(lambda m, g: b1 * m + (1 - b1) * g, ahead, now)
        else:
            mu_hat = corrected(b1, count, mu)
        scaled = tree.map(lambda m, v: m / (fnp.sqrt(v) + eps), mu_hat, corrected(b2, count, nu))
        return scaled, MomentState(count, mu, nu)

    return GradientTransformation(_filled, update)


def scale_by_yogi(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-3,
    eps_root: float = 0.0,
    initial_accumulator_value: float = 1e-6,
) -> GradientTransformation:
    """Adam whose second moment moves by the square's size only, in its direction (Zaheer et al., NeurIPS 2018).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_yogi()
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(3)
    Array([1.])
    """

    def step(g: Any, v: Any) -> Any:
        square = squared(g)
        return v - (1 - b2) * fnp.sign(v - square) * square

    def update(updates: Any, state: MomentState, params: Any = None) -> tuple[Any, MomentState]:
        mu, nu, count = moment(b1, updates, state.mu), tree.map(step, updates, state.nu), state.count + 1
        mu_hat, nu_hat = corrected(b1, count, mu), corrected(b2, count, nu)
        scaled = tree.map(lambda m, v: m / (fnp.sqrt(v + eps_root) + eps), mu_hat, nu_hat)
        return scaled, MomentState(count, mu, nu)

    return GradientTransformation(lambda params: _filled(params, initial_accumulator_value), update)


def scale_by_adamax(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> GradientTransformation:
    """Running mean over the largest magnitude so far, which decays (Kingma and Ba, arXiv:1412.6980, section 7).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_adamax()
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([1.])
    """

    def update(updates: Any, state: MomentState, params: Any = None) -> tuple[Any, MomentState]:
        count, mu = state.count + 1, moment(b1, updates, state.mu)
        nu = tree.map(lambda g, v: fnp.maximum(fnp.abs(g) + eps, b2 * v), updates, state.nu)
        return tree.map(lambda m, v: m / v, corrected(b1, count, mu), nu), MomentState(count, mu, nu)

    return GradientTransformation(_filled, update)


def scale_by_sign() -> GradientTransformation:
    """The sign of each element (Bernstein et al., arXiv:1802.04434).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_sign()
    >>> t.update(fnp.array([3.0, -0.1]), t.init(None))[0]
    Array([ 1., -1.])
    """
    return GradientTransformation(
        lambda params: (), lambda updates, state, params=None: (tree.map(fnp.sign, updates), state)
    )


def scale_by_optimistic_gradient(alpha: float = 1.0, beta: float = 1.0) -> GradientTransformation:
    """``(alpha + beta) * gradient - beta * previous``, the gradient that is expected next (Daskalakis et al., arXiv:1711.00141).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_optimistic_gradient()
    >>> first, state = t.update(fnp.array([1.0]), t.init(fnp.array([0.0])))
    >>> t.update(fnp.array([3.0]), state)[0]
    Array([5.])
    """

    def init(params: Any) -> PreviousGradientState:
        return PreviousGradientState(fnp.asarray(True), zeros_like(params))

    def update(updates: Any, state: PreviousGradientState, params: Any = None) -> tuple[Any, PreviousGradientState]:
        def ahead(g: Any, previous: Any) -> Any:
            return (alpha + beta) * g - beta * fnp.where(state.is_initial_step, g, previous)

        new = PreviousGradientState(fnp.asarray(False), updates)
        return tree.map(ahead, updates, state.previous_gradient), new

    return GradientTransformation(init, update)


def keep_params_nonnegative() -> GradientTransformation:
    """Updates cut so that parameters stay at 0 or above; the last of a chain.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.keep_params_nonnegative()
    >>> t.update(fnp.array([-3.0, 1.0]), t.init(None), fnp.array([2.0, 2.0]))[0]
    Array([-2.,  1.])
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        need_params("keep_params_nonnegative", params)
        return tree.map(lambda p, u: fnp.where(p + u < 0, -p, u), params, updates), state

    return GradientTransformation(lambda params: (), update)


def incremental_update(new_tensors: Any, old_tensors: Any, step_size: float) -> Any:
    """``step_size * new + (1 - step_size) * old``, leaf by leaf: parameters that follow others slowly.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.incremental_update({"w": 1.0}, {"w": 0.0}, 0.25)
    {'w': 0.25}
    """
    return tree.map(lambda new, old: step_size * new + (1.0 - step_size) * old, new_tensors, old_tensors)


# --- optimizers -----------------------------------------------------------------------------------------------------------------------------------------


def adabelief(
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-16,
    eps_root: float = 1e-16,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """AdaBelief: Adam that takes long steps where gradients are as expected (Zhuang et al., arXiv:2010.07468).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.adabelief(0.1)
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(4)
    Array([-0.1111])
    """
    return chain(scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov), scale_by_learning_rate(learning_rate))


def yogi(learning_rate: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-3) -> GradientTransformation:
    """Yogi: Adam whose second moment cannot grow fast (Zaheer et al., NeurIPS 2018).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.yogi(0.1)
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(3)
    Array([-0.1])
    """
    return chain(scale_by_yogi(b1, b2, eps), scale_by_learning_rate(learning_rate))


def adamax(learning_rate: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> GradientTransformation:
    """AdaMax: Adam in the maximum norm (Kingma and Ba, arXiv:1412.6980, section 7).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.adamax(0.1)
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([-0.1])
    """
    return chain(scale_by_adamax(b1, b2, eps), scale_by_learning_rate(learning_rate))


def adamaxw(
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-4,
    mask: Any = None,
) -> GradientTransformation:
    """AdaMax with decoupled weight decay; ``mask`` says which leaves decay.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.adamaxw(0.1, weight_decay=0.5)
    >>> params = fnp.array([2.0])
    >>> t.update(fnp.array([3.0]), t.init(params), params)[0].round(6)
    Array([-0.2])
    """
    decay = add_decayed_weights(weight_decay, mask)
    return chain(scale_by_adamax(b1, b2, eps), decay, scale_by_learning_rate(learning_rate))


def sign_sgd(learning_rate: Any) -> GradientTransformation:
    """Steps of one size in each element, by the gradient's signs (Bernstein et al., arXiv:1802.04434).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.sign_sgd(0.1)
    >>> t.update(fnp.array([3.0, -0.1]), t.init(fnp.zeros(2)))[0]
    Array([-0.1,  0.1])
    """
    return chain(scale_by_sign(), scale_by_learning_rate(learning_rate))


def signum(learning_rate: Any, beta: float = 0.9) -> GradientTransformation:
    """:func:`sign_sgd` with momentum: the signs of a running mean.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.signum(0.1)
    >>> t.update(fnp.array([3.0, -0.1]), t.init(fnp.zeros(2)))[0]
    Array([-0.1,  0.1])
    """
    return chain(ema(beta, debias=False), scale_by_sign(), scale_by_learning_rate(learning_rate))


def optimistic_gradient_descent(learning_rate: Any, alpha: float = 1.0, beta: float = 1.0) -> GradientTransformation:
    """Descent along the gradient that is expected next, which converges in games where gradient descent circles (arXiv:1711.00141).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.optimistic_gradient_descent(0.1)
    >>> t.update(fnp.array([1.0]), t.init(fnp.array([0.0])))[0]
    Array([-0.1])
    """
    return chain(scale_by_optimistic_gradient(alpha, beta), scale_by_learning_rate(learning_rate))


def lars(
    learning_rate: Any,
    weight_decay: float = 0.0,
    weight_decay_mask: Any = True,
    trust_coefficient: float = 0.001,
    eps: float = 0.0,
    trust_ratio_mask: Any = True,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> GradientTransformation:
    """LARS: momentum with a trust ratio for each leaf, for large batches (You et al., arXiv:1708.03888).

    ``weight_decay_mask`` and ``trust_ratio_mask`` say which leaves decay and are scaled; ``True`` is all.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.lars(1.0, trust_coefficient=0.1)
    >>> params = fnp.array([2.0])
    >>> t.update(fnp.array([3.0]), t.init(params), params)[0]
    Array([-0.2])
    """
    ratio = scale_by_trust_ratio(trust_coefficient=trust_coefficient, eps=eps)
    return chain(
        add_decayed_weights(weight_decay, None if weight_decay_mask is True else weight_decay_mask),
        ratio if trust_ratio_mask is True else masked(ratio, trust_ratio_mask),
        scale_by_learning_rate(learning_rate),
        trace(momentum, nesterov),
    )
