"""The symbols that compiled code refers to: what stands behind each one, and how it gets there.

Code that is kept on disk holds no address of the process that made it. It names what it calls, and whoever links it provides these names
first: functions of BLAS and LAPACK, and helpers, which are compiled once per machine: math functions, tiles of matrix products, sorting, the
thread pool, the guard around BLAS.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from ctypes import CFUNCTYPE
from typing import NamedTuple

import llvmlite.binding as binding

from fad.compiler.disk_cache import current_cache
from fad.compiler.llvm.blas_threads import guard_addresses, guard_source
from fad.compiler.llvm.environment import cache_key
from fad.compiler.llvm.library_calls import library_address
from fad.compiler.llvm.linking import LLVM_LOCK, engine
from fad.compiler.llvm.pool import source as pool_source
from fad.compiler.llvm.pool import start_pool

__all__ = ["Source", "link", "link_helper"]

_provided: set[str] = set()


class Source(NamedTuple):
    """Assembly and how it is compiled.

    Attributes
    ----------
    text : str
        The module.
    level : int
        How much the code generator should do.
    passes : bool
        Whether LLVM's passes are run; a finished text needs none.
    """

    text: str
    level: int = 2
    passes: bool = False


def link(code: bytes, symbols: Iterable[str], name: str) -> int:
    """Link an object file after what it calls; gives the address of its function ``name``. A name is linked once per process."""
    with LLVM_LOCK:
        if name not in _provided:
            for symbol in symbols:
                _provide(symbol)
            engine().add(code)
            _provided.add(name)
        return engine().address(name)


def link_helper(name: str, write: Callable[[], Source], version: str = "") -> int:
    """Link code that depends on nothing but the machine and a ``version``; gives the address of its function ``name``."""
    with LLVM_LOCK:
        if name not in _provided:
            engine().add(_helper_code(name, write, version))
            _provided.add(name)
        return engine().address(name)


def _helper_code(name: str, write: Callable[[], Source], version: str) -> bytes:
    cache = current_cache()
    key = cache_key("helper", f"{name} {version}")
    found = None if cache is None else cache.read(key)
    if found is not None:
        return found[1]
    code = engine().compile(*write())
    if cache is not None:
        cache.write(key, {"helper": name}, code)
    return code


def _provide(symbol: str) -> None:
    """Make a symbol known to the linker; those that are not fad's are found in the process."""
    if symbol in _provided or not symbol.startswith("fad_"):
        return
    if symbol.startswith("fad_pool_"):
        link_helper("fad_pool_dispatch", lambda: Source(pool_source(), 0))
        start_pool(engine().address)
    elif symbol in ("fad_blas_enter", "fad_blas_leave"):
        _provide_guard()
    elif symbol.startswith(("fad_blas_", "fad_lapack_")):
        binding.add_symbol(symbol, library_address(symbol))
    elif symbol.startswith("fad_sort_"):
        link_helper(symbol, lambda: _sort(symbol))
    elif symbol.startswith(("fad_tile_", "fad_copy_", "fad_swap_")):
        link_helper(symbol, lambda: _tile(symbol))
    else:
        link_helper(symbol, lambda: _math(symbol))
    _provided.add(symbol)


def _provide_guard() -> None:
    for name, address in guard_addresses().items():
        binding.add_symbol(name, address)
    link_helper("fad_blas_enter", lambda: Source(guard_source(), 0))
    _provided.add("fad_blas_leave")
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=CFUNCTYPE(None)(engine().address("fad_blas_after_fork")))


def _sort(symbol: str) -> Source:
    from fad.compiler.llvm.sort_functions import sort_source

    return Source(sort_source(symbol), passes=True)


def _tile(symbol: str) -> Source:
    from fad.compiler.llvm.tile_functions import tile_source

    return Source(tile_source(symbol))


def _math(symbol: str) -> Source:
    from fad.compiler.llvm.math_library import library_source

    _, *name, dtype = symbol.split("_")
    return Source(library_source("_".join(name), dtype))
