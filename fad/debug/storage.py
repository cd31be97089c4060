"""The cache of compiled code on disk, for people to look at and to empty."""

from __future__ import annotations

from fad.compiler.disk_cache import DiskCache, current_cache

__all__ = ["disk_cache"]


def disk_cache() -> DiskCache | None:
    """The cache of compiled code on disk; ``None`` where it is switched off.

    Returns
    -------
    DiskCache or None
        Printed, it says where it is, how large, and what this process found in it; ``clear()`` removes every entry and gives their number.

    Examples
    --------
    >>> import fad
    >>> print(fad.debug.disk_cache())
    compiled code in ...: ... of at most 256 MiB; this process found ..., missed ... and wrote ...
    >>> with fad.config.using(disk_cache=False):
    ...     fad.debug.disk_cache() is None
    True
    """
    return current_cache()
