"""What besides a Program decides which machine code it becomes: the processor, LLVM, the compiler's own sources."""

from __future__ import annotations

import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

import llvmlite
import llvmlite.binding as binding
import numpy as np

import fad.compiler
import fad.core
import fad.primitives
from fad.core.interruptions import uninterrupted

__all__ = ["cache_key", "environment_digest"]

_FORMAT = 1
_SOURCES = (fad.compiler, fad.core, fad.primitives)


def _sources() -> str:
    """A digest of all sources that have a say in code, so that who edits one of them never meets what an older one made."""
    digest = sha256()
    for package in _SOURCES:
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            text = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()} {len(text)}\n".encode())
            digest.update(text)
    return digest.hexdigest()


@cache
@uninterrupted()
def environment_digest() -> str:
    """A digest of everything that code depends on except what it computes."""
    parts = (
        _FORMAT,
        _sources(),
        llvmlite.__version__,
        binding.llvm_version_info,
        binding.get_default_triple(),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
        np.__version__,
        sys.implementation.cache_tag,
        sys.byteorder,
    )
    return sha256(repr(parts).encode()).hexdigest()


def cache_key(kind: str, content: str) -> str:
    """The name under which something is kept on disk."""
    return sha256(f"{environment_digest()} {kind} {content}".encode()).hexdigest()
