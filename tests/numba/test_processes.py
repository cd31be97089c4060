"""Operations made of numba functions, and transforms of such functions, in other processes."""

import os
import pickle
import subprocess
import sys

import numba
import numpy as np
import pytest

import fad
import fad.numpy as fnp

MODULE = """
import numba
import fad

@numba.njit
def square(x):
    return x * x

op = fad.extend.from_numba(square, name="process_square", partials=[lambda x: 2 * x])
jitted, of_op = fad.jit(square), fad.jit(fad.grad(op))
"""


def test_spawned_processes_get_them_by_pickle(tmp_path, monkeypatch):
    (tmp_path / "declares_operations.py").write_text(MODULE)
    script = (
        "import pickle, sys; op, jitted, of_op = pickle.load(sys.stdin.buffer); print(op(3.0), jitted(4.0), of_op(5.0))"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import declares_operations as module

    data = pickle.dumps((module.op, module.jitted, module.of_op))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, env=env, check=False)
    assert done.stdout.decode().split() == ["9.0", "16.0", "10.0"], done.stderr.decode()
    assert pickle.loads(data)[0] is module.op


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_processes_run_the_same_code():
    op = fad.extend.from_numba(numba.njit(lambda x: x * x), name="test_forked", partials=[lambda x: 2 * x])
    f = fad.jit(lambda x: fnp.sum(op(x * 2)))
    c = fad.jit(lambda x: op(x) + 1).lower(0.0).compile().c_function("double(double)")
    x = np.arange(5.0)
    expected = float(f(x)), float(fad.jit(fad.grad(f))(x).sum()), c.ctypes(3.0)
    child = os.fork()
    if child == 0:
        try:
            seen = float(f(x)), float(fad.jit(fad.grad(lambda x: f(x) * 1))(x).sum()), c.ctypes(3.0)
            os._exit(0 if seen == expected else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
