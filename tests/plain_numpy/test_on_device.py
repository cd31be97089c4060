"""The corpus on arrays of a CUDA device: plain-NumPy functions give there what they give on the CPU, with their derivatives."""

import numpy as np
import pytest

import fad
from tests import cuda_device
from tests.plain_numpy.corpus import ENTRIES
from tests.plain_numpy.known_failures import KNOWN_FAILURES
from tests.plain_numpy.modes import agree, gradient, tangents

pytestmark = cuda_device.marks()

KNOWN = [entry for entry in ENTRIES if entry.name not in KNOWN_FAILURES]


def moved(primals):
    return tuple(fad.device_put(p, "cuda:0") if isinstance(p, np.ndarray) else p for p in primals)


@pytest.mark.parametrize("entry", KNOWN, ids=lambda entry: entry.name)
def test_entry_on_device(entry):
    on_device = moved(entry.primals)
    agree(entry.closed(*on_device), entry.closed(*entry.primals), 1e-10)
    for seen, expected in zip(gradient(entry)(*on_device), gradient(entry)(*entry.primals), strict=True):
        agree(seen, expected, 1e-9)
    seen = fad.jvp(entry.closed, on_device, moved(tangents(entry)))[1]
    agree(seen, fad.jvp(entry.closed, entry.primals, tangents(entry))[1], 1e-9)
