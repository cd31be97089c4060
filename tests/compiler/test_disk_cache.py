"""The cache of compiled code on disk: what it finds, what it refuses, and what happens to it when things go wrong."""

import errno
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler import cache_folder, code, disk_cache
from fad.compiler.cache_folder import DiskCacheWarning, chosen_folder, objection
from fad.compiler.canonical import program_form
from fad.compiler.disk_cache import DiskCache, current_cache
from fad.compiler.llvm import environment
from fad.compiler.llvm.linking import engine
from fad.compiler.nested import body_program

ROOT = Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef" * 4
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no owners and modes of files")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache that is looked at by nobody else, and which has not warned yet."""
    monkeypatch.setattr(cache_folder, "_warned", set())
    return DiskCache(str(tmp_path / "code"))


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """An empty cache on disk, and a process without the code that it made before."""
    monkeypatch.setattr(cache_folder, "_warned", set())
    monkeypatch.setattr(code, "_codes", {})
    monkeypatch.setenv("FAD_CACHE_DIR", str(tmp_path / "code"))
    return tmp_path / "code"


def forget(monkeypatch):
    """As in a new process: no code in memory, nothing known of the folder."""
    monkeypatch.setattr(code, "_codes", {})
    monkeypatch.setattr(disk_cache, "_caches", {})


def function(x):
    return fnp.sum(fnp.sin(x) * fnp.exp(-x * x)) + 0.8125


def run(x=None):
    x = np.linspace(0.0, 1.0, 40) if x is None else x
    value, gradient = fad.jit(fad.value_and_grad(function))(x)
    np.testing.assert_allclose(float(value), np.sum(np.sin(x) * np.exp(-x * x)) + 0.8125, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(gradient), (np.cos(x) - 2 * x * np.sin(x)) * np.exp(-x * x), rtol=1e-9)


# -- entries ----------------------------------------------------------------------------------------------------------------


def test_what_was_written_is_found(cache):
    assert cache.read(KEY) is None
    cache.write(KEY, {"sizes": [3, 4], "names": ["é"]}, b"\x00code\xff")
    assert cache.read(KEY) == ({"sizes": [3, 4], "names": ["é"]}, b"\x00code\xff")
    assert DiskCache(cache.folder).read(KEY) == cache.read(KEY)
    assert (cache.hits, cache.misses, cache.written) == (2, 1, 1)
    assert cache.size() == (1, os.path.getsize(cache.path(KEY)))


@posix
def test_nobody_else_may_read_or_write(cache):
    cache.write(KEY, {}, b"code")
    assert stat.S_IMODE(os.stat(cache.folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(cache.path(KEY)).st_mode) == 0o600


def test_every_flipped_byte_is_noticed(cache):
    cache.write(KEY, {"a": 1}, b"some code")
    content = Path(cache.path(KEY)).read_bytes()
    for place in range(len(content)):
        for bit in (1, 128):
            damaged = bytearray(content)
            damaged[place] ^= bit
            Path(cache.path(KEY)).write_bytes(damaged)
            assert cache.read(KEY) is None, place
            assert not os.path.exists(cache.path(KEY))
    cache.write(KEY, {"a": 1}, b"some code")
    assert cache.read(KEY) == ({"a": 1}, b"some code")


def test_every_truncation_is_noticed(cache):
    cache.write(KEY, {"a": 1}, b"some code")
    content = Path(cache.path(KEY)).read_bytes()
    for length in (*range(len(content)), len(content) + 1):
        Path(cache.path(KEY)).write_bytes((content + b"\0")[:length])
        assert cache.read(KEY) is None, length
        assert not os.path.exists(cache.path(KEY))


def test_an_entry_under_another_name_is_noticed(cache):
    cache.write(KEY, {}, b"code")
    os.rename(cache.path(KEY), cache.path(KEY[::-1]))
    assert cache.read(KEY[::-1]) is None


def test_a_link_or_a_folder_is_no_entry(cache, tmp_path):
    cache.write(KEY, {}, b"code")
    os.rename(cache.path(KEY), tmp_path / "elsewhere")
    if hasattr(os, "O_NOFOLLOW"):
        os.symlink(tmp_path / "elsewhere", cache.path(KEY))
        assert cache.read(KEY) is None
        os.unlink(cache.path(KEY))
    os.mkdir(cache.path(KEY))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DiskCacheWarning)
        assert cache.read(KEY) is None


def test_what_was_not_used_for_longest_goes_first(cache):
    with fad.config.using(cache_megabytes=1):
        for number, letter in enumerate("bcdef"):
            cache.write(letter * 64, {}, bytes(200_000))
            os.utime(cache.path(letter * 64), (1e9 + number, 1e9 + number))
        assert cache.read("b" * 64) is not None  # it is used, so it is not old any more
        assert os.stat(cache.path("b" * 64)).st_mtime > time.time() - 100
        cache.write("g" * 64, {}, bytes(200_000))
    assert {name[0] for name in os.listdir(cache.folder)} == {"b", "f", "g"}
    assert cache.size()[1] < 0.75 * (1 << 20)


def test_unfinished_files_of_the_past_are_removed(cache):
    os.makedirs(cache.folder, 0o700)
    for name, age in (("old.part", 10_000), ("new.part", 0)):
        path = os.path.join(cache.folder, name)
        Path(path).write_bytes(b"half")
        os.utime(path, (time.time() - age, time.time() - age))
    other = os.path.join(cache.folder, "notes.txt")
    Path(other).write_bytes(b"mine")
    cache.write(KEY, {}, b"code")
    assert sorted(os.listdir(cache.folder)) == sorted([os.path.basename(cache.path(KEY)), "new.part", "notes.txt"])
    assert cache.clear() == 1
    assert sorted(os.listdir(cache.folder)) == ["new.part", "notes.txt"]


def test_people_can_look_at_it_and_empty_it(fresh, monkeypatch):
    run()
    cache = fad.debug.disk_cache()
    text = str(cache)
    assert text.startswith(f"compiled code in {fresh}: {len(list(fresh.iterdir()))} entries, ")
    assert f"wrote {cache.written}" in text
    assert cache.clear() == cache.written
    assert list(fresh.iterdir()) == []
    forget(monkeypatch)
    run()
    with fad.config.using(disk_cache=False):
        assert fad.debug.disk_cache() is None


# -- what may go wrong --------------------------------------------------------------------------------------------------------


def failing(monkeypatch, name, number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk_cache.os, name, fail)


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("write", errno.ENOSPC),
        ("write", errno.EDQUOT),
        ("replace", errno.ENOSPC),
        ("makedirs", errno.EROFS),
        ("makedirs", errno.EACCES),
    ],
)
def test_a_disk_that_takes_nothing(cache, monkeypatch, call, number):
    with monkeypatch.context() as patch:
        failing(patch, call, number)
        with pytest.warns(DiskCacheWarning, match=f"{re.escape(os.strerror(number))}.*FAD_CACHE_DIR"):
            cache.write(KEY, {}, b"code")
        cache.write(KEY[::-1], {}, b"code")  # one warning is enough
    assert not os.path.exists(cache.folder) or os.listdir(cache.folder) == []
    assert cache.read(KEY) is None


def test_a_disk_that_takes_a_little_at_a_time(cache, monkeypatch):
    write = os.write
    monkeypatch.setattr(disk_cache.os, "write", lambda descriptor, content: write(descriptor, bytes(content[:3])))
    cache.write(KEY, {"a": 1}, b"some code")
    assert cache.read(KEY) == ({"a": 1}, b"some code")


def test_a_full_disk_only_means_no_cache(fresh, monkeypatch):
    failing(monkeypatch, "write", errno.ENOSPC)
    with pytest.warns(DiskCacheWarning) as caught:
        run()
        run(np.linspace(-1.0, 1.0, 7))
    assert len(caught) == 1


def test_a_file_in_the_place_of_the_folder(cache):
    Path(cache.folder).write_text("not a folder")
    with pytest.warns(DiskCacheWarning, match="not a folder"):
        assert cache.read(KEY) is None
    cache.write(KEY, {}, b"code")
    assert Path(cache.folder).read_text() == "not a folder"


def test_a_warning_that_is_an_error_to_the_user_is_itself(fresh):
    fresh.write_text("not a folder")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DiskCacheWarning, match="not a folder"):
            run()
        run()  # one warning is enough


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(cache, mode):
    cache.write(KEY, {}, b"code")
    os.chmod(cache.folder, mode)
    again = DiskCache(cache.folder)
    with pytest.warns(
        DiskCacheWarning, match=f"other users may write to it .*{mode:o}.*FAD_CACHE_DIR to a folder of your own"
    ):
        assert again.read(KEY) is None
    again.write(KEY[::-1], {}, b"code")
    assert not os.path.exists(again.path(KEY[::-1]))
    os.chmod(cache.folder, 0o755)  # others may look
    assert DiskCache(cache.folder).read(KEY) is not None


def owned_by(status, user):
    fields = list(status)
    fields[stat.ST_UID] = user
    return os.stat_result(fields)


@posix
def test_a_folder_of_another_user_is_refused(cache, monkeypatch):
    cache.write(KEY, {}, b"code")
    real, user = os.stat, os.geteuid() + 1
    monkeypatch.setattr(disk_cache.os, "stat", lambda path, **kwargs: owned_by(real(path, **kwargs), user))
    again = DiskCache(cache.folder)
    with pytest.warns(
        DiskCacheWarning, match=f"it belongs to user {user}, and this process runs as user {os.geteuid()}"
    ):
        assert again.read(KEY) is None


@posix
@pytest.mark.parametrize("fault", ["owner", "mode"])
def test_an_entry_that_others_could_have_written_is_refused(cache, monkeypatch, fault):
    cache.write(KEY, {}, b"code")
    if fault == "mode":
        os.chmod(cache.path(KEY), 0o666)
    else:
        real = os.fstat
        monkeypatch.setattr(disk_cache.os, "fstat", lambda descriptor: owned_by(real(descriptor), os.geteuid() + 1))
    with pytest.warns(DiskCacheWarning, match="could have|not used: (it belongs|other users)"):
        assert cache.read(KEY) is None
    assert os.path.exists(cache.path(KEY))


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_that_was_given_away(cache):
    cache.write(KEY, {}, b"code")
    os.chown(cache.folder, 12345, -1)
    with pytest.warns(DiskCacheWarning, match="belongs to user 12345"):
        assert DiskCache(cache.folder).read(KEY) is None


@posix
def test_a_read_only_folder_is_read(cache, monkeypatch):
    cache.write(KEY, {}, b"code")
    os.chmod(cache.folder, 0o500)
    again = DiskCache(cache.folder)
    if os.geteuid() == 0:  # whom modes do not stop
        real = os.open
        denied = PermissionError(errno.EACCES, "Permission denied")

        def guarded(path, flags, *mode):
            if flags & os.O_CREAT:
                raise denied
            return real(path, flags, *mode)

        monkeypatch.setattr(disk_cache.os, "open", guarded)
    assert again.read(KEY) == ({}, b"code")
    with pytest.warns(DiskCacheWarning, match="cannot be kept in .*Permission denied"):
        again.write(KEY[::-1], {}, b"code")
    assert again.read(KEY) == ({}, b"code")
    os.chmod(cache.folder, 0o700)


# -- where it is ------------------------------------------------------------------------------------------------------------


def test_where_code_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("FAD_CACHE_DIR", str(tmp_path / "a"))
    assert chosen_folder() == str(tmp_path / "a")
    with fad.config.using(cache_folder=str(tmp_path / "b")):
        assert chosen_folder() == str(tmp_path / "b")
    with fad.config.using(disk_cache=False):
        assert chosen_folder() is None
    monkeypatch.setenv("FAD_DISK_CACHE", "0")
    assert chosen_folder() is None
    monkeypatch.delenv("FAD_DISK_CACHE")
    monkeypatch.delenv("FAD_CACHE_DIR")
    monkeypatch.setattr(cache_folder.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    assert chosen_folder() == str(tmp_path / "c" / "fad")
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert chosen_folder() == str(tmp_path / ".cache" / "fad")
    monkeypatch.setattr(cache_folder.sys, "platform", "darwin")
    assert chosen_folder() == str(tmp_path / "Library" / "Caches" / "fad")
    monkeypatch.setattr(cache_folder.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert chosen_folder() == str(tmp_path / "local" / "fad" / "cache")


def test_where_there_is_no_home(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    for variable in ("FAD_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(cache_folder.Path, "home", nowhere)
    monkeypatch.setattr(cache_folder.sys, "platform", "linux")
    assert current_cache() is None


def test_without_owners_nothing_is_objected_to(monkeypatch):
    monkeypatch.delattr(cache_folder.os, "geteuid", raising=False)
    assert objection(owned_by(os.stat(ROOT), 1)) is None


# -- compiled code ------------------------------------------------------------------------------------------------------------


def test_code_is_found_again_and_nothing_is_compiled(fresh, monkeypatch):
    run()
    compiled, written = engine().compiled, current_cache().written
    assert written >= 2  # which operations compile, and the code
    forget(monkeypatch)
    monkeypatch.setattr(code, "_compile", lambda *args: pytest.fail("compiled what is on disk"))
    run()
    run(np.linspace(0.0, 1.0, 55))  # another size: the same code
    assert engine().compiled == compiled
    assert current_cache().misses == 0
    assert current_cache().hits >= 2


def test_switched_off_it_is_neither_read_nor_written(fresh, monkeypatch):
    with fad.config.using(disk_cache=False):
        run()
    assert not fresh.exists()


def test_damaged_code_is_made_anew(fresh, monkeypatch):
    run()
    entries = sorted(fresh.iterdir())
    for damage in (
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1] + bytes([content[-1] ^ 4]),
        lambda content: b"",
    ):
        for path in entries:
            path.write_bytes(damage(path.read_bytes()))
        forget(monkeypatch)
        run()
        assert sorted(fresh.iterdir()) == entries


def keys(f, *args):
    form = program_form(body_program(fad.make_program(f)(*args)))
    return form.is_lasting, form.key


def test_keys_are_the_same_in_every_process():
    lines = (
        "import numpy as np, fad, fad.numpy as fnp",
        "from tests.compiler.test_disk_cache import keys, everything",
        "print(keys(everything, np.ones((12, 12))))",
    )
    seen = {str(keys(everything, np.ones((12, 12))))}
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", "\n".join(lines)]
        seen.add(
            subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120).stdout.strip()
        )
    assert len(seen) == 1
    assert seen.pop().startswith("(True, ")


def everything(x):
    """Operations whose parameters are of many kinds."""
    y = fnp.linalg.solve(x + 20 * fnp.eye(12), fnp.sort(x, axis=0))
    y = fnp.concatenate([y, fnp.cumsum(y, axis=1)], axis=0)[2:20:3].astype("float32")
    y = fad.scan(lambda c, r: (c * 0.5 + r, fnp.where(r > 0, r, c)), y[0], y)[1]
    y = fad.cond(fnp.sum(y) > 0, lambda v: v * 2, lambda v: v - 1, y)
    y = fad.fori_loop(0, 5, lambda i, v: v * 0.5 + 1, y)
    return fnp.sum(fnp.einsum("ij,kj->ik", y, y)) + fnp.argmax(y) + fnp.pad(y, 2).at[3].set(1.0).max()


def test_other_code_has_another_key():
    x = np.ones(30)
    functions = [
        lambda x: fnp.sin(x), lambda x: fnp.cos(x), lambda x: fnp.sin(x) * 2, lambda x: fnp.sin(x)[::2], lambda x: fnp.sin(x)[::3],
        lambda x: fnp.sin(x)[1:], lambda x: fnp.sum(x), lambda x: fnp.sum(x, keepdims=True), lambda x: x.reshape(5, 6), lambda x: x.reshape(6, 5),
    ]  # fmt: skip
    found = [keys(f, x) for f in functions] + [
        keys(functions[0], x.astype("f4")),
        keys(functions[0], x[:3]),
        keys(functions[0], 1.0),
    ]
    assert all(lasting for lasting, _ in found)
    assert len({key for _, key in found}) == len(found)
    assert keys(functions[0], x) == keys(functions[0], np.ones(31))


def test_code_of_the_users_own_operations_stays_in_the_process(fresh):
    def declare(factor):
        return fad.extend.Primitive(
            "test_disk_cache_times",
            impl=lambda xp, x: x * factor,
            shape=lambda x: x,
            kernel=lambda k, x: k.multiply(x, k.constant(factor, x.dtype)) if hasattr(k, "constant") else k.add(x, x),
        )

    times = declare(2.0)
    assert not keys(lambda x: times(x), np.ones(3))[0]
    first = fad.jit(lambda x: times(x) + 0.0)
    np.testing.assert_array_equal(np.asarray(first(np.ones(3))), 2.0)
    before = keys(lambda x: times(x), np.ones(3))
    times = declare(2.0)
    assert keys(lambda x: times(x), np.ones(3)) != before
    kinds = [json.loads(_header(p)) for p in fresh.iterdir()] if fresh.exists() else []
    assert not any("memory" in header for header in kinds)


def _header(path):
    content = path.read_bytes()[44:]
    return content[4 : 4 + int.from_bytes(content[:4], "little")]


def test_an_edited_compiler_does_not_meet_older_code(monkeypatch, tmp_path):
    here = environment.cache_key("segment", "x")
    for name in ("core", "compiler"):
        (tmp_path / name).mkdir()
    (tmp_path / "compiler" / "rules.py").write_text("one = 1\n")

    class Package:
        def __init__(self, name):
            self.__path__ = [str(tmp_path / name)]

    monkeypatch.setattr(environment, "_SOURCES", (Package("core"), Package("compiler")))
    seen = set()
    for text in ("one = 1\n", "one = 2\n"):
        (tmp_path / "compiler" / "rules.py").write_text(text)
        environment.environment_digest.cache_clear()
        seen.add(environment.cache_key("segment", "x"))
    monkeypatch.setattr(environment.llvmlite, "__version__", "0.0")
    environment.environment_digest.cache_clear()
    seen.add(environment.cache_key("segment", "x"))
    monkeypatch.undo()
    environment.environment_digest.cache_clear()
    assert len(seen) == 3
    assert here not in seen
    assert environment.cache_key("segment", "x") == here


def test_two_versions_live_side_by_side(fresh, monkeypatch):
    run()
    ours = set(fresh.iterdir())
    forget(monkeypatch)
    with monkeypatch.context() as patch:
        digest = "another version"
        patch.setattr(environment, "environment_digest", lambda: digest)
        run()
    theirs = set(fresh.iterdir()) - ours
    assert len(theirs) >= 2
    assert ours <= set(fresh.iterdir())
    forget(monkeypatch)
    monkeypatch.setattr(code, "_compile", lambda *args: pytest.fail("the other version's code took the place of ours"))
    run()


# -- many processes -----------------------------------------------------------------------------------------------------------

CHILD = """
import sys
import numpy as np
from tests.compiler.test_disk_cache import run
from fad.compiler.disk_cache import current_cache
from fad.compiler.llvm.linking import engine
run()
cache = current_cache()
print(cache.hits, cache.misses, cache.written, engine().compiled, "fad.compiler.llvm.lowering" in sys.modules)
"""


def start(folder, source=CHILD, *arguments):
    env = {**os.environ, "FAD_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error::UserWarning", "-c", source, *arguments]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(child):
    out, error = child.communicate(timeout=180)
    assert child.returncode == 0, error
    return out.split()


def test_a_second_process_starts_warm(tmp_path):
    _, misses, written, compiled, lowering = finish(start(tmp_path))
    assert int(misses) >= 2
    assert int(written) >= 4
    assert lowering == "True"
    assert int(compiled) >= 2
    hits, misses, written, compiled, lowering = finish(start(tmp_path))
    assert (misses, written, compiled, lowering) == ("0", "0", "0", "False")
    assert int(hits) >= 4


def test_eight_processes_at_once(tmp_path):
    for child in [start(tmp_path) for _ in range(8)]:
        finish(child)
    assert finish(start(tmp_path))[1:3] == ["0", "0"]
    assert all(name.endswith(".fad") for name in os.listdir(tmp_path))


WRITER = """
import os, sys, time
from fad.compiler.disk_cache import DiskCache
cache, number, write = DiskCache(os.environ["FAD_CACHE_DIR"]), 0, os.write

def half(descriptor, content):
    write(descriptor, bytes(content[: len(content) // 2]))
    print("half", flush=True)
    time.sleep(600)

print("ready", flush=True)
while True:
    if number == 7 * int(sys.argv[1]):
        os.write = half
    cache.write(f"{number % 7:064d}", {"number": number % 7}, bytes([number % 7]) * 300_000)
    number += 1
"""


@posix
def test_writers_that_are_killed_half_way(tmp_path):
    cache, unfinished = DiskCache(str(tmp_path)), 0
    for rounds in (0, 2):
        child = start(tmp_path, WRITER, str(rounds))
        assert [child.stdout.readline() for _ in range(2)] == ["ready\n", "half\n"]
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=60)
        unfinished += 1
        assert len(list(tmp_path.glob("*.part"))) == unfinished
        for number in range(7):
            found = cache.read(f"{number:064d}")
            assert found == (({"number": number}, bytes([number]) * 300_000) if rounds else None)
    past = time.time() - 10_000
    for path in tmp_path.glob("*.part"):
        os.utime(path, (past, past))
    DiskCache(str(tmp_path)).write(KEY, {}, b"code")
    assert not list(tmp_path.glob("*.part"))
    assert cache.read(KEY) is not None


@posix
def test_writers_that_are_killed_at_any_moment(tmp_path):
    cache = DiskCache(str(tmp_path))
    for number in range(6):
        child = start(tmp_path, WRITER, "1000000")
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.003 * number)
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=60)
        for entry in range(7):
            assert cache.read(f"{entry:064d}") in (None, ({"number": entry}, bytes([entry]) * 300_000))
