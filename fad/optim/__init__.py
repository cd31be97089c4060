"""Optimizers as pairs of pure functions over pytrees, with optax's protocol and names.

>>> import fad
>>> import fad.numpy as fnp
>>> import fad.optim as optim
>>> optimizer = optim.chain(optim.clip_by_global_norm(1.0), optim.adam(1e-2))
>>> params = {"w": fnp.ones(3)}
>>> state = optimizer.init(params)
>>> gradient = fad.grad(lambda p: fnp.sum(p["w"] ** 2))(params)
>>> updates, state = optimizer.update(gradient, state, params)
>>> params = optim.apply_updates(params, updates)
"""

from fad.optim import (
    clipping,
    factored,
    line_search,
    loss_scaling,
    moments,
    optimizers,
    quasi_newton,
    relatives,
    schedules,
    transformation,
    wrappers,
)
from fad.optim.clipping import *  # noqa: F403
from fad.optim.factored import *  # noqa: F403
from fad.optim.line_search import *  # noqa: F403
from fad.optim.loss_scaling import *  # noqa: F403
from fad.optim.moments import *  # noqa: F403
from fad.optim.optimizers import *  # noqa: F403
from fad.optim.quasi_newton import *  # noqa: F403
from fad.optim.relatives import *  # noqa: F403
from fad.optim.schedules import *  # noqa: F403
from fad.optim.transformation import *  # noqa: F403
from fad.optim.wrappers import *  # noqa: F403

__all__ = sorted(
    {
        *clipping.__all__,
        *factored.__all__,
        *line_search.__all__,
        *loss_scaling.__all__,
        *moments.__all__,
        *optimizers.__all__,
        *quasi_newton.__all__,
        *relatives.__all__,
        *schedules.__all__,
        *transformation.__all__,
        *wrappers.__all__,
    }
)
