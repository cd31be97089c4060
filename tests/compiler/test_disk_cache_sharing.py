"""The cache of compiled code on disk under many processes that read, write and clean at once."""

import multiprocessing

import numpy as np

from fad.compiler.disk_cache import DiskCache


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
