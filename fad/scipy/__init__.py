"""The differentiable part of SciPy, under SciPy's names.

Examples
--------
>>> import fad.scipy
>>> fad.scipy.linalg.expm([[0.0, 0.0], [0.0, 0.0]])
Array([[1., 0.],
       [0., 1.]])
"""

from fad.scipy import integrate as integrate
from fad.scipy import linalg as linalg
from fad.scipy import optimize as optimize
from fad.scipy import special as special
from fad.scipy import stats as stats
