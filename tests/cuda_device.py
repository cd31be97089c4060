"""What tests on a CUDA device share."""

import pytest

import fad

REASON = "needs CuPy and a CUDA device"


def marks():
    """The marks of a module whose tests need a device; where there is none the module is skipped."""
    pytest.importorskip("cupy", reason=REASON)
    if len(fad.devices()) == 1:
        pytest.skip(REASON, allow_module_level=True)
    return [
        pytest.mark.gpu,
        pytest.mark.filterwarnings("ignore::fad.core.cuda_evaluation.DeviceWarning"),
        pytest.mark.filterwarnings("ignore::DeprecationWarning:cupy"),  # CuPy's own use of NumPy
    ]
