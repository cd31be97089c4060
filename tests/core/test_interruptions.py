"""Signals that raise something are handled where they do no harm."""

import gc
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler import execution
from fad.compiler.llvm.linking import engine
from fad.core import interruptions
from fad.core.interruptions import interrupt_here, uninterrupted
from fad.core.locks import ForkingLock, Lock
from fad.core.primitive import REGISTRY, Primitive
from fad.core.trace import CURRENT, EVAL
from fad.transforms import batching, forward, gradients, reverse, staging

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals are handled in the main thread"
)


@pytest.fixture
def handled():
    """Handles SIGINT for a while: the numbers that were handled."""
    numbers = []
    before = signal.signal(signal.SIGINT, lambda number, frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGINT, before)


def interrupt():
    signal.raise_signal(signal.SIGINT)


def test_an_interruption_comes_at_the_end_of_the_block():
    before, reached = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        with uninterrupted():
            interrupt()
            reached.append("inner")
        reached.append("outer")
    assert reached == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interruption_comes_where_it_may():
    reached = []
    with pytest.raises(KeyboardInterrupt) as first, uninterrupted():
        interrupt_here()
        interrupt()
        try:
            interrupt_here()
        finally:
            interrupt()  # the way out is not interrupted either
            reached.append("way out")
    assert reached == ["way out"]
    assert isinstance(first.value.__context__, KeyboardInterrupt)
    interrupt_here()  # nothing is left


def test_a_handler_runs_once_and_late(handled):
    with uninterrupted():
        interrupt()
        interrupt()
        assert handled == []
    assert handled == [signal.SIGINT]
    with uninterrupted():
        assert handled == [signal.SIGINT]


def test_handlers_that_a_handler_sets_stay(handled):
    def change(number, frame):
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
        interrupt_here()
        assert handled == [signal.SIGINT]
    signal.signal(signal.SIGINT, change)
    with uninterrupted():
        interrupt()
        interrupt_here()
        interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_ignored_signals_stay_ignored(handled):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with uninterrupted():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert handled == []


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="this system has no alarms")
def test_other_signals_that_raise_something_wait_too(handled):
    class TooLate(Exception):
        pass

    def raise_too_late(number, frame):
        raise TooLate

    before = signal.signal(signal.SIGALRM, raise_too_late)
    reached = []
    try:
        with pytest.raises(TooLate), uninterrupted():
            interrupt()
            signal.raise_signal(signal.SIGALRM)
            reached.append("end")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert reached == ["end"]
    assert handled == [signal.SIGINT]


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="this system has no alarms")
def test_a_time_limit_ends_a_first_call_as_what_it_is(monkeypatch):
    """Other exceptions are bugs of the compiler, and what it could not compile is evaluated operation by operation."""

    def raise_timeout(number, frame):
        raise TimeoutError

    compile_held = engine().compile_held

    def slow(*sources):
        signal.raise_signal(signal.SIGALRM)
        return compile_held(*sources)

    f = fad.jit(lambda x: fnp.tanh(x * 0.41) + 1.7)
    before = signal.signal(signal.SIGALRM, raise_timeout)
    try:
        with fad.config.using(threads=1, disk_cache=False), monkeypatch.context() as patch, pytest.raises(TimeoutError):
            patch.setattr(engine(), "compile_held", slow)
            f(np.ones(7))
    finally:
        signal.signal(signal.SIGALRM, before)
    compiled = engine().compiled
    np.testing.assert_allclose(f(np.ones(7)), np.tanh(0.41) + 1.7)
    assert engine().compiled > compiled


def test_a_signal_while_handlers_are_exchanged_leaves_those_that_were(monkeypatch):
    """The first one is exchanged already when the handler of the second raises."""
    before, exchange = signal.getsignal(signal.SIGINT), signal.signal

    def interrupted(number, handler):
        found = exchange(number, handler)
        if handler is interruptions._note:
            interrupt()
        return found

    raw = interruptions._signal
    monkeypatch.setattr(interruptions, "_signal", SimpleNamespace(getsignal=raw.getsignal, signal=interrupted))
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        pytest.fail("the block was entered")
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_hold_nothing_back():
    held, done = threading.Event(), threading.Event()

    def hold():
        with uninterrupted():
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    finally:
        done.set()
        thread.join()


def test_who_waits_for_a_lock_can_be_interrupted():
    lock, held, done = ForkingLock(), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt), uninterrupted():
            timer.start()
            with lock:
                pytest.fail("the lock was taken twice")
    finally:
        done.set()
        thread.join()
        timer.join()
    with lock:
        assert lock._lock.held._is_owned()
    assert not lock._lock.held._is_owned()


def test_who_holds_a_lock_for_forks_is_not_interrupted():
    lock, reached = ForkingLock(), []
    with pytest.raises(KeyboardInterrupt), lock:
        interrupt()
        reached.append("end")
    assert reached == ["end"]
    assert not lock._lock.held._is_owned()


def test_python_itself_takes_other_locks():
    """An interruption cannot come between the step in which it is taken and the block."""
    assert type(Lock().held) is type(threading.RLock())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_of_another_thread_can_be_interrupted():
    statuses = []

    def fork():
        child = os.fork()
        if child == 0:
            status = 1
            try:
                if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                    with uninterrupted():
                        interrupt()
                        status = 2
            except KeyboardInterrupt:
                status = 0 if status == 2 else 3
            finally:
                os._exit(status)
        statuses.append(os.waitpid(child, 0)[1])

    with uninterrupted():
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
    assert statuses == [0]


class _InterruptedVariable:
    """A context variable whose next change is followed by an interruption."""

    def __init__(self, variable):
        self._variable, self._is_next = variable, True
        self.get, self.reset = variable.get, variable.reset

    def set(self, value):
        token = self._variable.set(value)
        if self._is_next:
            self._is_next = False
            raise KeyboardInterrupt
        return token


@pytest.mark.parametrize(
    ("module", "call"),
    [
        (staging, lambda: fad.jit(fnp.sin)(1.0)),
        (reverse, lambda: reverse.vjp_flat(lambda x: [fnp.sin(x)], [np.float64(1.0)])),
        (forward, lambda: fad.jvp(fnp.sin, (1.0,), (1.0,))),
        (batching, lambda: fad.vmap(fnp.sin)(np.ones(3))),
        (gradients, lambda: fad.grad(fnp.sin)(1.0)),
    ],
)
def test_an_interrupted_transform_does_not_stay_the_current_one(module, call, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "CURRENT", _InterruptedVariable(CURRENT))
        call()
    assert CURRENT.get() is EVAL
    call()


def test_an_interrupted_compilation_leaves_python_collecting(monkeypatch):
    def interrupted():
        gc.disable()
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "gc", SimpleNamespace(isenabled=gc.isenabled, enable=gc.enable, disable=interrupted))
    with pytest.raises(KeyboardInterrupt), execution._without_collection():
        pytest.fail("the block was entered")
    assert gc.isenabled()


_IMPORT = """
import fad
from fad.core.primitive import REGISTRY, Primitive

declare = Primitive.__init__

def interrupted(self, name, **rules):
    declare(self, name, **rules)
    if name == "cholesky":
        raise KeyboardInterrupt

Primitive.__init__ = interrupted
try:
    fad.numpy.linalg
except KeyboardInterrupt:
    Primitive.__init__ = declare
assert not REGISTRY["cholesky"].is_loaded
print(fad.numpy.linalg.cholesky([[4.0]]), REGISTRY["cholesky"].is_loaded)
"""


def test_an_interrupted_import_can_be_repeated():
    done = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[[2.]] True\n", "")


def test_an_operation_is_declared_once():
    known = REGISTRY["sin"]
    rules = {"impl": known.impl, "shape": known.shape, "jvp": known.jvp, "vjp": known.vjp}
    with pytest.raises(fad.errors.FadError, match="'sin' exists already"):
        Primitive("sin", batch=known.batch, kernel=known.kernel, samples=[], **rules)
