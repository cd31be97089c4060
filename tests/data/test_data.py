"""Batches: every row once, the same from a key, resumable anywhere, and honest about misuse."""

import gc
import threading
import time

import numpy as np
import pytest

import fad
import fad.data
import fad.numpy as fnp
from fad import errors

KEY = fad.random.key(3)


def data(count=23):
    return {"x": np.arange(2.0 * count).reshape(count, 2), "y": np.arange(count)}


def rows_of(iterator):
    return [np.asarray(batch["y"]).tolist() for batch in iterator]


@pytest.mark.parametrize("prefetch", [0, 1, 4])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_row_once_an_epoch(prefetch, shuffle):
    iterator = fad.data.batches(KEY, data(), 5, epochs=2, shuffle=shuffle, prefetch=prefetch)
    assert len(iterator) == 10
    rows = rows_of(iterator)
    assert [len(r) for r in rows] == [5, 5, 5, 5, 3] * 2
    first, second = sum(rows[:5], []), sum(rows[5:], [])
    assert sorted(first) == sorted(second) == list(range(23))
    assert (first == list(range(23))) is not shuffle
    assert (first == second) is not shuffle
    assert list(iterator) == []


def test_leaves_stay_together_and_are_arrays():
    for batch in fad.data.batches(KEY, data(), 4):
        assert type(batch["x"]) is fad.Array
        np.testing.assert_array_equal(batch["x"][:, 0], 2 * batch["y"])


def test_the_key_decides_and_prefetching_does_not():
    runs = [rows_of(fad.data.batches(KEY, data(), 5, prefetch=p)) for p in (0, 3)]
    assert runs[0] == runs[1]
    assert runs[0] != rows_of(fad.data.batches(fad.random.key(4), data(), 5))


def test_last_batch():
    dropped = rows_of(fad.data.batches(KEY, data(), 5, last="drop"))
    assert [len(r) for r in dropped] == [5, 5, 5, 5]
    padded = list(fad.data.batches(KEY, data(), 5, last="pad"))
    assert [np.asarray(mask).sum() for _, mask in padded] == [5, 5, 5, 5, 3]
    assert {batch["x"].shape for batch, _ in padded} == {(5, 2)}
    seen = np.concatenate([np.asarray(batch["y"])[np.asarray(mask)] for batch, mask in padded])
    assert sorted(seen) == list(range(23))


@pytest.mark.parametrize("stop", [0, 1, 4, 5, 7, 9])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_resuming_goes_on_where_it_stopped(stop, prefetch):
    make = lambda **more: fad.data.batches(KEY, data(), 5, epochs=2, prefetch=prefetch, **more)  # noqa: E731
    whole, part = rows_of(make()), make()
    head = [np.asarray(next(part)["y"]).tolist() for _ in range(stop)]
    tail = make(state=part.state)
    assert len(tail) == 10 - stop
    assert head + rows_of(tail) == whole
    part.close()


def test_state_survives_a_file(tmp_path):
    import fad.io

    iterator = fad.data.batches(KEY, data(), 5, epochs=None)
    for _ in range(7):
        next(iterator)
    fad.io.save(tmp_path / "state.safetensors", iterator.state)
    again = fad.data.batches(KEY, data(), 5, epochs=None, state=fad.io.load(tmp_path / "state.safetensors"))
    assert again.epoch == 1
    np.testing.assert_array_equal(next(iterator)["y"], next(again)["y"])


def test_a_transform_has_its_own_key_for_each_batch():
    def noisy(key, batch):
        return {**batch, "noise": fad.random.normal(key, (3,))}

    runs = [list(fad.data.batches(KEY, data(), 5, epochs=2, transform=noisy, prefetch=p)) for p in (0, 2)]
    noise = [np.asarray([b["noise"] for b in run]) for run in runs]
    np.testing.assert_array_equal(noise[0], noise[1])
    assert len(np.unique(noise[0])) == 30


def test_memory_mapped_files(tmp_path):
    written = np.memmap(tmp_path / "rows.bin", dtype=np.float32, mode="w+", shape=(1000, 3))
    written[:] = np.arange(3000).reshape(1000, 3)
    written.flush()
    rows = np.memmap(tmp_path / "rows.bin", dtype=np.float32, mode="r", shape=(1000, 3))
    seen = np.concatenate([np.asarray(b) for b in fad.data.batches(KEY, rows, 64)])
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(np.sort(seen[:, 0]), rows[:, 0])


def test_batches_are_copies():
    rows = np.zeros((4, 1))
    batch = next(fad.data.batches(KEY, rows, 2, shuffle=False, prefetch=0))
    rows[:] = 1.0
    assert not np.asarray(batch).any()


def thread_count():
    return sum(thread.name == "fad.data.batches" for thread in threading.enumerate())


def wait_for_threads(count):
    for _ in range(200):
        if thread_count() == count:
            return True
        time.sleep(0.02)
    return False


def test_a_forgotten_iterator_ends_its_thread():
    gc.collect()
    assert wait_for_threads(0)
    iterator = fad.data.batches(KEY, data(), 5, epochs=None)
    next(iterator)
    assert thread_count() == 1
    del iterator
    gc.collect()
    assert wait_for_threads(0)


def test_with_closes():
    with fad.data.batches(KEY, data(), 5, epochs=None) as iterator:
        next(iterator)
    assert list(iterator) == []
    assert wait_for_threads(0)


def test_an_interruption_loses_no_batch():
    iterator = fad.data.batches(KEY, np.arange(10), 2, shuffle=False)
    found = [next(iterator).tolist()]
    received = iterator._made.get

    def interrupted():
        received()
        raise KeyboardInterrupt

    thread = next(t for t in threading.enumerate() if t.name == "fad.data.batches")
    iterator._made.get = interrupted
    with pytest.raises(KeyboardInterrupt):
        next(iterator)
    thread.join(10)
    assert not thread.is_alive()
    assert found + [batch.tolist() for batch in iterator] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_an_error_in_the_background_reaches_the_reader():
    def broken(key, batch):
        raise RuntimeError("no such picture")

    with pytest.raises(RuntimeError, match="no such picture"):
        next(fad.data.batches(KEY, data(), 5, transform=broken))


def test_endless_batches_have_no_length():
    with pytest.raises(errors.ArgumentError, match="no length"):
        len(fad.data.batches(KEY, data(), 5, epochs=None))


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: fad.data.batches(KEY, {"a": np.zeros(3), "b": np.zeros(4)}, 2), errors.ShapeError, "a has 3.*b has 4"),
        (lambda: fad.data.batches(KEY, np.float64(1.0), 2), errors.ShapeError, "no rows"),
        (lambda: fad.data.batches(KEY, [], 2), errors.ArgumentError, "no arrays"),
        (lambda: fad.data.batches(KEY, np.zeros(3), 4, last="drop"), errors.ArgumentError, "3 rows make no batch of 4"),
        (lambda: fad.data.batches(KEY, np.zeros(0), 4), errors.ArgumentError, "0 rows make no batch"),
        (lambda: fad.data.batches(KEY, np.zeros(3), 0), errors.ArgumentError, "batch_size"),
        (lambda: fad.data.batches(KEY, np.zeros(3), 1, last="no"), errors.ArgumentError, "keep, drop, pad"),
        (lambda: fad.data.batches(KEY, np.zeros(3), 1, state={"epoch": 1}), errors.ArgumentError, "state must be"),
        (lambda: fad.data.split(KEY, np.zeros(3), 1.0), errors.ArgumentError, "a part empty"),
    ],
)
def test_misuse_is_explained(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_a_state_of_other_data_is_refused():
    state = fad.data.batches(KEY, data(), 5).state
    with pytest.raises(errors.ArgumentError, match="rows = 23, and now it is 20"):
        fad.data.batches(KEY, data(20), 5, state=state)
    with pytest.raises(errors.ArgumentError, match="another key"):
        fad.data.batches(fad.random.key(0), data(), 5, state=state)
    assert isinstance(fad.data.batches(KEY, data(), 5, state=state), fad.data.Batches)


def test_split_is_a_partition():
    first, second = fad.data.split(KEY, {"x": fnp.arange(10.0), "y": np.arange(10)}, 0.7)
    assert sorted([*first["y"], *second["y"]]) == list(range(10))
    assert len(first["x"]) == 7
    np.testing.assert_array_equal(first["x"], first["y"])
