"""The cache of compiled code on disk under many processes that read, write and clean at once."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from fad.compiler.disk_cache import DiskCache

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys
import numpy as np
import fad
import tests.compiler.test_parts as parts
from fad.compiler.disk_cache import current_cache
from fad.compiler.llvm.linking import engine
arguments = [np.arange(1.0, n) for n in (30, 50, 70, 90)]
for word in sys.argv[1:]:
    numbers = [int(letter) for letter in word]
    for k, result in zip(numbers, fad.jit(parts.pieces(*numbers))(*arguments), strict=True):
        np.testing.assert_allclose(result, parts.PIECES[k](fad.Array(arguments[k])), rtol=1e-14)
print(current_cache().misses, engine().compiled)
"""


def _hammer(folder, seed, queue):
    cache, rng, wrong = DiskCache(folder), np.random.default_rng(seed), 0
    for _ in range(300):
        number = int(rng.integers(5))
        key = f"{number:064d}"
        if rng.random() < 0.4:
            cache.write(key, {"number": number}, bytes([number]) * 50_000)
        elif rng.random() < 0.1:
            cache.clear()
        else:
            wrong += cache.read(key) not in (None, ({"number": number}, bytes([number]) * 50_000))
    queue.put(wrong)


def test_readers_writers_and_cleaners_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_hammer, args=(str(tmp_path), seed, queue)) for seed in range(4)]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=120) for _ in workers] == [0] * 4
    for worker in workers:
        worker.join(60)
    assert not list(tmp_path.glob("*.part"))


def test_segments_of_earlier_processes_share_kernels_that_were_compiled_together(tmp_path):
    env = {**os.environ, "FAD_CACHE_DIR": str(tmp_path), "FAD_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    found = []
    for words in (["012"], ["230", "31"], ["31", "230", "012", "1"], ["1", "012", "31", "230"]):
        command = [sys.executable, "-W", "error::UserWarning", "-c", CHILD, *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split())
    assert found[-1] == ["0", "0"]
