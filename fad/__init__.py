"""fad: functional automatic differentiation for people who think in NumPy."""

from .core.array import Array
from .transforms.compilation import jit
from .transforms.gradients import grad, jvp, linear_transpose, linearize, value_and_grad, vjp
from .transforms.jacobians import hessian, hvp, jacfwd, jacobian, jacrev
from .transforms.programs import eval_shape, make_program
from .transforms.vectorization import vmap
from .core.config import config
from . import numpy
