"""Where compiled code is kept between processes, and whether that place can be trusted.

To load code is to run it. So nothing is read that another user could have written: the folder and each entry must belong to the user of this
process, and nobody else may write to them.
"""

from __future__ import annotations

import os
import stat
import sys
import warnings
from pathlib import Path

from fad.core.config import config

__all__ = ["DiskCacheWarning", "chosen_folder", "objection", "warn_once"]


class DiskCacheWarning(UserWarning):
    """Compiled code is not kept, or not read, between processes."""


_OFF = frozenset({"0", "off", "no", "false"})
_warned: set[str] = set()


def warn_once(text: str) -> None:
    """Warn, once per process whatever else happens to the cache."""
    if not _warned:
        _warned.add(text)
        warnings.warn(text, DiskCacheWarning, stacklevel=2)


def chosen_folder() -> str | None:
    """The folder of compiled code, whether it exists or not; ``None`` where settings or the environment switch it off.

    ``config.cache_folder`` comes first, then the environment variable ``FAD_CACHE_DIR``, then the user's cache directory.
    """
    if not config.disk_cache or os.environ.get("FAD_DISK_CACHE", "").lower() in _OFF:
        return None
    asked = config.cache_folder or os.environ.get("FAD_CACHE_DIR", "")
    return os.path.abspath(os.path.expanduser(asked)) if asked else _user_folder()


def _user_folder() -> str | None:
    """The user's own place for such things; ``None`` where there is no home."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", "")
        return os.path.join(local, "fad", "cache") if local else None
    # The XDG base directory specification tells to ignore a path that is not absolute.
    asked = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(asked):
        return os.path.join(asked, "fad")
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return str(home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "fad")


def objection(status: os.stat_result) -> str | None:
    """Why a file or folder with this status cannot be trusted, ``None`` if it can."""
    if not hasattr(os, "geteuid"):
        return None  # Windows: profiles of users are protected by access lists
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}, and this process runs as user {os.geteuid()}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"other users may write to it (its mode is {stat.S_IMODE(status.st_mode):o})"
    return None
