"""What every test shares: one thread per worker, no window for pictures, a cache of compiled code of this run, and reproducible Hypothesis runs."""

import gc
import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings

# Before NumPy is imported: test workers already use every core, and BLAS threads would only get in their way.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# No run sees what an earlier one compiled; the workers and the processes that tests start share what this one compiles.
_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if not _IS_WORKER:
    os.environ["FAD_CACHE_DIR"] = tempfile.mkdtemp(prefix="fad-tests-")
    os.environ.pop("FAD_DISK_CACHE", None)


def pytest_unconfigure(config):
    if not _IS_WORKER:
        shutil.rmtree(os.environ["FAD_CACHE_DIR"], ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Collect no garbage among many thousand tests that are about to be kept, neither now nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


_common = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow],
}  # time limits would fail on a busy machine
settings.register_profile("reproducible", derandomize=True, database=None, print_blob=True, **_common)
settings.register_profile("explore", max_examples=1000, **_common)  # HYPOTHESIS_PROFILE=explore looks for new failures
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reproducible"))
