"""First calls that Ctrl-C interrupts: they end, and later ones give what they should. Each test is a process of its own, which is ended where it hangs."""

import os
import subprocess
import sys

import pytest

from fad.compiler.llvm import side_by_side

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends itself signals")
_SECONDS = 80

_START = """
import faulthandler, itertools, os, random, signal, sys, threading, time
faulthandler.dump_traceback_later(60, exit=True)
import numpy as np
import fad
import fad.numpy as fnp

X = np.linspace(0.1, 1.0, 3000)
NAMES = ["tanh", "exp", "sin", "log1p", "cosh", "arctan", "sqrt", "cos", "expm1", "sinh", "arcsinh", "log"]
numbers = itertools.count()

def new_function():
    number = next(numbers)
    names = random.Random(number).sample(NAMES, 3)
    def function(x):
        for k, name in enumerate(names):
            x = getattr(fnp, name)(abs(x) * (0.5 + number / 100)) + fnp.sum(x * k) * x[::-1]
        return x
    return function

def check(function, jitted):
    np.testing.assert_allclose(jitted(X), function(X), rtol=1e-9)

def check_others():
    threads = [threading.Thread(target=lambda f=new_function(): check(f, fad.jit(f))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

def interrupt():
    signal.raise_signal(signal.SIGINT)
"""

_AT_LOCKS = """
from llvmlite.binding import ffi

left = -1

def counted():
    global left
    if threading.current_thread() is threading.main_thread():
        left -= 1
        if left == 0:
            interrupt()

class Lock(ffi._LLVMLock):
    def __enter__(self):
        super().__enter__()
        counted()
    def __exit__(self, *error):
        counted()
        super().__exit__(*error)

ffi.lib._lock.__class__ = Lock
interrupted = 0
for count in [*range(1, 12), *range(12, 120, 6)]:
    function = new_function()
    jitted = fad.jit(function)
    left = count
    try:
        jitted(X)
    except KeyboardInterrupt:
        interrupted += 1
    left = -1
    check(function, jitted)
check_others()
print(interrupted)
"""

_WITH_A_PIECE = """
from fad.compiler.llvm.workers import Workers

taken = Workers._taken

def interrupted(self):
    pieces = taken(self)
    if pieces and threading.current_thread() is threading.main_thread():
        Workers._taken = taken
        interrupt()
    return pieces

count = 0
for _ in range(4):
    function = new_function()
    jitted = fad.jit(function)
    Workers._taken = interrupted
    try:
        jitted(X)
    except KeyboardInterrupt:
        count += 1
    Workers._taken = taken
    check(function, jitted)
check_others()
print(count)
"""

_ANYWHERE = """
chance, interrupted = random.Random(7), 0
for count in range(16):
    function = new_function()
    jitted = fad.jit(function)
    timer = threading.Timer(chance.uniform(0, 0.4 if count == 0 else 0.03), os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        jitted(X)
        while True:
            time.sleep(0.01)
    except KeyboardInterrupt:
        interrupted += 1
    check(function, jitted)
check_others()
print(interrupted)
"""

_HANDLED = """
came = []
signal.signal(signal.SIGINT, handler := lambda number, frame: came.append(number))
for _ in range(8):
    function = new_function()
    jitted = fad.jit(function)
    timer = threading.Timer(0.003, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    jitted(X)
    timer.join()
    check(function, jitted)
    assert signal.getsignal(signal.SIGINT) is handler
time.sleep(0.01)
print(len(came))
"""


def run(script, folder):
    environment = {**os.environ, "FAD_CACHE_DIR": str(folder), "FAD_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", _START + script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_an_interruption_inside_llvmlite_leaves_its_lock_free(tmp_path):
    assert run(_AT_LOCKS, tmp_path) >= 15


@pytest.mark.skipif(not side_by_side.is_side_by_side(), reason="one thread compiles")
def test_an_interruption_loses_no_piece_that_is_to_be_compiled(tmp_path):
    assert run(_WITH_A_PIECE, tmp_path) >= 1


def test_interruptions_at_any_moment(tmp_path):
    assert run(_ANYWHERE, tmp_path) == 16


def test_a_handler_of_ones_own_runs_once_for_each_signal(tmp_path):
    assert run(_HANDLED, tmp_path) == 8
