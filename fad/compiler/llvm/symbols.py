"""The symbols that compiled code refers to: what stands behind each one, and how it gets there.

Code that is kept on disk holds no address of the process that made it. It names what it calls, and whoever links it provides these names
first: functions of BLAS and LAPACK, and helpers, which are compiled once per machine: math functions, tiles of matrix products, sorting, the
thread pool, the guard around BLAS.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from ctypes import CFUNCTYPE
from functools import partial
from typing import NamedTuple

import llvmlite.binding as binding

from fad.compiler.disk_cache import DiskCache, current_cache
from fad.compiler.llvm.blas_threads import guard_addresses, guard_source
from fad.compiler.llvm.environment import cache_key
from fad.compiler.llvm.fetching_text import FETCH, fetching_source
from fad.compiler.llvm.library_calls import library_address
from fad.compiler.llvm.linking import LLVM_LOCK, Source, called_symbols, engine
from fad.compiler.llvm.pool import source as pool_source
from fad.compiler.llvm.pool import start_pool
from fad.compiler.llvm.workers import Workers, awaited, compile_for
from fad.core.interruptions import interrupt_here
from fad.core.locks import ForkingLock

__all__ = [
    "by_names",
    "compile_ahead",
    "compiled_address",
    "link",
    "link_ahead",
    "link_coming",
    "link_helper",
    "linked_part",
    "outside_symbols",
    "prepare",
]

_RARELY = "_huge"
_IN_TURN = (_RARELY, "_pool_run", "_lapack_enter")
_DECLARED = re.compile(rf"^declare .*@(fad_\w*(?:{'|'.join(_IN_TURN)}))\(", re.MULTILINE)
"""What helpers call in turn: functions for rare arguments, the pool, a guard."""

_POOL = "fad_pool_start"
"""The pool's helper has the name of a function that no other code calls: who needs one of the others starts the pool, which may be linked already."""

_GUARDS = ("_products_enter", "_products_leave", "_lapack_enter", "_lapack_leave")

_provided: set[str] = set()
_parts: dict[str, bytes] = {}
"""The object files of kernels that are linked, for other segments that have the same ones."""


_addresses: dict[str, int] = {}
"""Of functions that were asked for, which are found without LLVM's lock from then on."""


class _Coming(NamedTuple):
    """The object file of a helper that threads compile right now, and who waits for it: they compile something else meanwhile."""

    future: Future[bytes]
    workers: Workers | None

    def code(self) -> bytes:
        return awaited(self.future) if self.workers is None else self.workers.result(self.future)


_coming: dict[str, _Coming] = {}
"""By name."""
_AHEAD_LOCK = ForkingLock()
"""Held while a helper is compiled that nobody waits for yet, and while the process forks: a child would wait for it in vain."""


def link(objects: Iterable[tuple[Sequence[str], bytes]], symbols: Iterable[str], name: str) -> int:
    """Link object files, by the names that they define, after what they call; gives the address of one of these names.

    Parts of other segments with the same name are the same code, so an object file that defines nothing new is not linked.
    """
    with LLVM_LOCK:
        if name not in _provided:
            for symbol in symbols:
                _provide(symbol)
                interrupt_here()
            new = [(names, code) for names, code in objects if not _provided.issuperset(names)]
            engine().add([code for _, code in new])
            for names, code in new:
                _provided.update(names)
                _parts.update({n: code for n in names if n != name})
        return engine().address(name)


def by_names(codes: dict[str, bytes]) -> dict[tuple[str, ...], bytes]:
    """Object files by all the names that they define: kernels that were compiled together have one."""
    names: dict[int, list[str]] = {}
    for name, code in codes.items():
        names.setdefault(id(code), []).append(name)
    return {tuple(found): codes[found[0]] for found in names.values()}


def outside_symbols(name: str, objects: dict[tuple[str, ...], bytes]) -> list[str]:
    """What the object files of a segment call outside of them."""
    found = set().union(*map(called_symbols, objects.values()))
    return sorted(s for s in found if not s.startswith(name))


def linked_part(name: str) -> bytes | None:
    """The object file of a kernel that is linked already."""
    return _parts.get(name)


def prepare(symbols: Iterable[str], workers: Workers) -> None:
    """Start to compile the helpers among symbols that are not here yet, nor on disk."""
    for symbol in symbols:
        helper = _helper(symbol)
        if helper is None:
            continue
        name, write = helper
        coming = _coming.get(name)
        if coming is not None and coming.workers is None:  # compiled ahead
            _coming[name], source = coming._replace(workers=workers), write()
        elif not _is_under_way(name) and not _is_kept(name):
            source = write()
            _coming[name] = _Coming(workers.start(source, partial(_keep, current_cache(), _helper_key(name))), workers)
        else:
            continue
        prepare(_DECLARED.findall(source.text), workers)


def link_coming(symbols: Iterable[str]) -> None:
    """Link those helpers among symbols that threads compile, as they get ready, while others are still compiled."""
    for symbol in symbols:
        helper = _helper(symbol)
        if helper is not None and helper[0] in _coming:
            _provide(symbol)


def link_helper(name: str, write: Callable[[], Source], version: str = "") -> int:
    """Link code that depends on nothing but the machine and a ``version``; gives the address of its function ``name``."""
    with LLVM_LOCK:
        if name not in _provided:
            code = _helper_code(name, write, version)
            for symbol in called_symbols(code):
                if symbol.endswith(_IN_TURN) and (_helper(symbol) or ("",))[0] != name:
                    _provide(symbol)
            engine().add([code])
            _provided.add(name)
        return engine().address(name)


def link_ahead(symbol: str) -> bool:
    """Link the helper that defines a symbol, for who will need it, if it is on disk; whether it is."""
    helper = _helper(symbol)
    if helper is None or not _is_kept(helper[0]):
        return False
    link_helper(*helper)
    return True


def compiled_address(symbol: str) -> int | None:
    """The address of a helper's function, which is linked if it is compiled here or on disk; ``None`` if one would have to wait for it."""
    helper = _helper(symbol)
    if symbol in _addresses or helper is None:
        return _addresses.get(symbol)
    coming = _coming.get(helper[0])
    is_ready = _is_kept(helper[0]) if coming is None else coming.future.done()
    if is_ready or helper[0] in _provided:
        _addresses[symbol] = link_helper(*helper)
    return _addresses.get(symbol)


def compile_ahead(symbol: str) -> None:
    """Compile the helper that defines a symbol, if it is neither here nor on disk, for who will need it; others compile and link meanwhile."""
    helper = _helper(symbol)
    with _AHEAD_LOCK:
        with LLVM_LOCK:
            if helper is None or _is_under_way(helper[0]) or _is_kept(helper[0]):
                return
            (name, write), future = helper, Future[bytes]()
            # Who waits for it may hold that lock, so the engine is asked for here.
            compiler = engine()
            compiler.compiled += 1
            _coming[name] = _Coming(future, None)
        keep = partial(_keep, current_cache(), _helper_key(name))
        compile_for([future], lambda: compiler.compile_held(write()), keep)


def _is_under_way(name: str) -> bool:
    return name in _provided or name in _coming


def _helper_code(name: str, write: Callable[[], Source], version: str) -> bytes:
    coming = _coming.pop(name, None)
    if coming is not None:
        with suppress(CancelledError):
            return coming.code()
    cache, key = current_cache(), _helper_key(name, version)
    found = None if cache is None else cache.read(key)
    if found is not None:
        return found[1]
    code = engine().compile(write())
    _keep(cache, key, code)
    return code


def _keep(cache: DiskCache | None, key: str, code: bytes) -> None:
    """Put a helper on disk; the settings are those of the thread that asks for it, not of the one that compiles."""
    if cache is not None:
        cache.write(key, {}, code)


def _helper_key(name: str, version: str = "") -> str:
    return cache_key("helper", f"{name} {version}")


def _is_kept(name: str) -> bool:
    cache = current_cache()
    return cache is not None and os.path.exists(cache.path(_helper_key(name)))


def _helper(symbol: str) -> tuple[str, Callable[[], Source]] | None:
    """The helper that defines a symbol, and what writes it; ``None`` for what is found elsewhere."""
    if not symbol.startswith("fad_"):
        return None
    if symbol == "fad_pool_dispatch_many":
        return symbol, lambda: Source(pool_source(together=True), 0)
    if symbol == FETCH:
        return symbol, lambda: Source(fetching_source(), 0)
    if symbol.startswith("fad_pool_"):
        return _POOL, lambda: Source(pool_source(), 0)
    if symbol.endswith(_GUARDS):
        kind = symbol.split("_")[1]
        return f"fad_{kind}_enter", lambda: Source(guard_source(kind), 0)
    if symbol.startswith(("fad_products_", "fad_blas_", "fad_lapack_", "fad_numpy_")):
        return None
    if symbol.startswith("fad_sort_"):
        return symbol, lambda: _sort(symbol)
    if symbol.startswith(("fad_tile_", "fad_pairs_", "fad_copy_", "fad_swap_", "fad_finite_")):
        return symbol, lambda: _tile(symbol)
    return symbol, lambda: _math(symbol)


def _provide(symbol: str) -> None:
    """Make a symbol known to the linker; those that are not fad's are found in the process."""
    if symbol in _provided or not symbol.startswith("fad_"):
        return
    helper = _helper(symbol)
    if helper is None:
        binding.add_symbol(symbol, library_address(symbol))
    elif helper[0].endswith(_GUARDS):
        _provide_guard(*helper)
    else:
        link_helper(*helper)
        if helper[0] == _POOL:
            start_pool(engine().address)
    _provided.add(symbol)


def _provide_guard(name: str, write: Callable[[], Source]) -> None:
    kind = name.split("_")[1]
    for symbol, address in guard_addresses(kind).items():
        binding.add_symbol(symbol, address)
    link_helper(name, write)
    _provided.add(f"fad_{kind}_leave")
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=CFUNCTYPE(None)(engine().address(f"fad_{kind}_after_fork")))


def _sort(symbol: str) -> Source:
    from fad.compiler.llvm.sort_functions import sort_source

    return Source(sort_source(symbol), passes="all")


def _tile(symbol: str) -> Source:
    from fad.compiler.llvm.tile_functions import tile_source

    return Source(tile_source(symbol))


def _math(symbol: str) -> Source:
    from fad.compiler.llvm.math_library import BRIEF, variant_source

    # The level of loops: a target machine for one more would take LLVM longer to make than less work on the code saves.
    return Source(variant_source(symbol), 0 if symbol.endswith((_RARELY, BRIEF)) else 2)
