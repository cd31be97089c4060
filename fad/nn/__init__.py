"""Neural networks: stateless layers, activations, losses and initialisers.

A layer is a frozen, hashable description; ``init`` makes its parameters and a call computes. Arrays are channels-last: ``(n, *space, channels)``.

>>> import fad
>>> import fad.nn as nn
>>> import fad.numpy as fnp
>>> model = nn.Sequential(nn.Linear(2, 8), nn.tanh, nn.Linear(8, 1))
>>> params = model.init(fad.random.key(0))
>>> x, y = fnp.ones((4, 2)), fnp.zeros((4, 1))
>>> loss, gradient = fad.value_and_grad(lambda p: nn.mse(model(p, x), y))(params)
>>> gradient["0"]["weight"].shape
(2, 8)
"""

from fad.nn import (
    activations,
    attention,
    classification,
    containers,
    convolutional,
    dense,
    functional,
    initializers,
    losses,
    normalization,
    pooling,
    positions,
    protocol,
    recurrent,
    sequences,
    tables,
    transformers,
)
from fad.nn.activations import *  # noqa: F403
from fad.nn.attention import *  # noqa: F403
from fad.nn.classification import *  # noqa: F403
from fad.nn.containers import *  # noqa: F403
from fad.nn.convolutional import *  # noqa: F403
from fad.nn.dense import *  # noqa: F403
from fad.nn.functional import *  # noqa: F403
from fad.nn.losses import *  # noqa: F403
from fad.nn.normalization import *  # noqa: F403
from fad.nn.pooling import *  # noqa: F403
from fad.nn.positions import *  # noqa: F403
from fad.nn.protocol import *  # noqa: F403
from fad.nn.recurrent import *  # noqa: F403
from fad.nn.sequences import *  # noqa: F403
from fad.nn.tables import *  # noqa: F403
from fad.nn.transformers import *  # noqa: F403
from fad.numpy import image_windows
from fad.numpy.image_windows import *  # noqa: F403

_MODULES = (
    activations,
    attention,
    classification,
    containers,
    convolutional,
    dense,
    functional,
    losses,
    normalization,
    pooling,
    positions,
    protocol,
    recurrent,
    sequences,
    tables,
    transformers,
    image_windows,
)
__all__ = ["initializers"]
__all__ += sorted({name for module in _MODULES for name in module.__all__})
