"""fad: functional automatic differentiation for people who think in NumPy."""

from fad import numpy
from fad.core.array import Array
from fad.core.config import config
from fad.transforms.compilation import jit
from fad.transforms.gradients import grad, jvp, linear_transpose, linearize, value_and_grad, vjp
from fad.transforms.jacobians import hessian, hvp, jacfwd, jacobian, jacrev
from fad.transforms.programs import eval_shape, make_program
from fad.transforms.vectorization import vmap

__version__ = "0.1.0"
