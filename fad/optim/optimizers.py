"""Optimizers: chains of transformations with the defaults of optax.

Each takes a learning rate, a number or a schedule, and gives a :class:`GradientTransformation`.
"""

from __future__ import annotations

from typing import Any

from fad.optim.clipping import add_decayed_weights
from fad.optim.moments import (
    scale_by_adadelta,
    scale_by_adam,
    scale_by_amsgrad,
    scale_by_lion,
    scale_by_radam,
    scale_by_rms,
    scale_by_rss,
    scale_by_stddev,
    scale_by_trust_ratio,
    trace,
)
from fad.optim.transformation import GradientTransformation, chain, identity, scale_by_learning_rate

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamw",
    "amsgrad",
    "lamb",
    "lion",
    "nadam",
    "nadamw",
    "radam",
    "rmsprop",
    "sgd",
]


def sgd(learning_rate: Any, momentum: float | None = None, nesterov: bool = False) -> GradientTransformation:
    """Gradient descent, with momentum (Polyak 1964) or Nesterov's form of it (Sutskever et al. 2013).

    Parameters
    ----------
    learning_rate : float or schedule
        Step size.
    momentum : float, optional
        Decay of the accumulated gradient.
    nesterov : bool
        Whether to look one step ahead.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.sgd(0.1)
    >>> t.update(fnp.array([1.0]), t.init(fnp.array([0.0])))[0]
    Array([-0.1])
    """
    return chain(identity() if momentum is None else trace(momentum, nesterov), scale_by_learning_rate(learning_rate))


def adam(
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam (Kingma and Ba, arXiv:1412.6980).

    Parameters
    ----------
    learning_rate : float or schedule
        Step size.
    b1, b2 : float
        Decay of the running mean and mean of squares.
    eps, eps_root : float
        Added to the root, and inside it.
    nesterov : bool
        Whether to look one step ahead.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.adam(0.1)
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([-0.1])
    """
    return chain(scale_by_adam(b1, b2, eps, eps_root, nesterov=nesterov), scale_by_learning_rate(learning_rate))


def nadam(
    learning_rate: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0
) -> GradientTransformation:
    """Adam with Nesterov momentum (Dozat 2016).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.nadam(0.1)
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(4)
    Array([-0.1474])
    """
    return adam(learning_rate, b1, b2, eps, eps_root, nesterov=True)


def adamw(
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101); ``mask`` says which leaves decay.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.adamw(0.1, weight_decay=0.5)
    >>> params = fnp.array([2.0])
    >>> t.update(fnp.array([3.0]), t.init(params), params)[0].round(6)
    Array([-0.2])
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, nesterov=nesterov),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


def nadamw(
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 1e-4,
    mask: Any = None,
) -> GradientTransformation:
    """AdamW with Nesterov momentum.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.nadamw(0.1)
    >>> params = fnp.array([0.0])
    >>> t.update(fnp.array([3.0]), t.init(params), params)[0].round(4)
    Array([-0.1474])
    """
    return adamw(learning_rate, b1, b2, eps, eps_root, weight_decay, mask, nesterov=True)


def amsgrad(
    learning_rate: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0
) -> GradientTransformation:
    """Adam whose second moment never shrinks (Reddi et al. 2018).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.amsgrad(0.1)
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([-0.1])
    """
    return chain(scale_by_amsgrad(b1, b2, eps, eps_root), scale_by_learning_rate(learning_rate))


def radam(
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    threshold: float = 5.0,
) -> GradientTransformation:
    """Rectified Adam (Liu et al., arXiv:1908.03265).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.radam(0.1)
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([-0.3])
    """
    return chain(scale_by_radam(b1, b2, eps, eps_root, threshold), scale_by_learning_rate(learning_rate))


def adagrad(learning_rate: Any, initial_accumulator_value: float = 0.1, eps: float = 1e-7) -> GradientTransformation:
    """Adagrad (Duchi, Hazan and Singer 2011).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.adagrad(0.1, 0.0)
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([-0.1])
    """
    return chain(scale_by_rss(initial_accumulator_value, eps), scale_by_learning_rate(learning_rate))


def adadelta(
    learning_rate: Any = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    weight_decay_mask: Any = None,
) -> GradientTransformation:
    """Adadelta (Zeiler, arXiv:1212.5701).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.adadelta()
    >>> params = fnp.array([0.0])
    >>> t.update(fnp.array([3.0]), t.init(params), params)[0].round(6)
    Array([-0.003162])
    """
    return chain(
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_adadelta(rho, eps),
        scale_by_learning_rate(learning_rate),
    )


def rmsprop(
    learning_rate: Any,
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    centered: bool = False,
    momentum: float | None = None,
    nesterov: bool = False,
) -> GradientTransformation:
    """RMSprop (Hinton 2012), centred if wanted (Graves, arXiv:1308.0850).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.rmsprop(0.1, decay=0.0)
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([-0.1])
    """
    scaled = (scale_by_stddev if centered else scale_by_rms)(decay, eps, initial_scale)
    return chain(
        scaled, scale_by_learning_rate(learning_rate), identity() if momentum is None else trace(momentum, nesterov)
    )


def lion(
    learning_rate: Any, b1: float = 0.9, b2: float = 0.99, weight_decay: float = 1e-3, mask: Any = None
) -> GradientTransformation:
    """Lion (Chen et al., arXiv:2302.06675).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.lion(0.1)
    >>> params = fnp.array([0.0])
    >>> t.update(fnp.array([3.0]), t.init(params), params)[0]
    Array([-0.1])
    """
    return chain(scale_by_lion(b1, b2), add_decayed_weights(weight_decay, mask), scale_by_learning_rate(learning_rate))


def lamb(
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
    eps_root: float = 0.0,
    weight_decay: float = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """LAMB: Adam with a trust ratio for each leaf (You et al., arXiv:1904.00962).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.lamb(0.1)
    >>> params = fnp.array([2.0])
    >>> t.update(fnp.array([3.0]), t.init(params), params)[0].round(6)
    Array([-0.2])
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_trust_ratio(),
        scale_by_learning_rate(learning_rate),
    )
