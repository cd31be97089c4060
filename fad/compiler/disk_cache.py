"""Compiled code on disk: a folder of entries that many processes read and write at once.

An entry is one file that never changes: it is written under another name and moved to its place, so a reader finds all of it or nothing. It
begins with a digest of the rest, and an entry that does not fit its digest is removed and made anew. Headers are JSON: unlike a pickle, they
cannot do anything when they are read.

Nothing here ever raises: where entries cannot be read or written there is no cache, and one warning says why.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import time
from contextlib import suppress
from hashlib import sha256
from typing import Any

from fad.compiler.cache_folder import chosen_folder, objection, warn_once
from fad.core.config import config
from fad.core.locks import Lock

__all__ = ["DiskCache", "current_cache"]

_MAGIC = b"fad-code\x00\x00\x00\x01"
_DIGEST = sha256().digest_size
_SUFFIX, _UNFINISHED = ".fad", ".part"
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_USED = 3600.0
"""An entry's time of change is its time of use, to the hour, so that reading rarely writes."""
_ABANDONED = 3600.0
"""Unfinished files of this age belong to processes that are gone."""
_KEPT = 0.75
"""What part of the allowed size is left after a cleaning."""


class DiskCache:
    """The entries in one folder.

    Parameters
    ----------
    folder : str
        It is made when the first entry is written.

    Attributes
    ----------
    hits, misses, written : int
        What this process found, did not find, and wrote.
    """

    def __init__(self, folder: str):
        self.folder = folder
        self.hits = self.misses = self.written = 0
        self._lock = Lock()
        self._usable: bool | None = None
        self._writes = True
        self._size: int | None = None

    def path(self, key: str) -> str:
        """The file of an entry."""
        return os.path.join(self.folder, key + _SUFFIX)

    # -- trust ------------------------------------------------------------------------------------------------------------

    def _trusted(self) -> bool:
        """Whether the folder exists and nobody else may write to it; looked at once."""
        if self._usable is None:
            try:
                status = os.stat(self.folder)
            except FileNotFoundError:
                return False
            except OSError as error:
                return self._give_up(f"cannot be looked into ({error.strerror})")
            found = objection(status) if stat.S_ISDIR(status.st_mode) else "it is not a folder"
            if found is not None:
                return self._give_up(f"is not used: {found}, and code read from it would run with your rights")
            self._usable = True
        return self._usable

    def _give_up(self, why: str) -> bool:
        self._usable = False
        warn_once(
            f"the cache of compiled code, {self.folder}, {why}. Everything is compiled in each process. "
            "Set FAD_CACHE_DIR to a folder of your own that only you may write to, or FAD_DISK_CACHE=0 to do without."
        )
        return False

    # -- reading ----------------------------------------------------------------------------------------------------------

    def read(self, key: str) -> tuple[dict[str, Any], bytes] | None:
        """The header and the body of an entry; ``None`` where there is none that can be trusted."""
        found = self._read(key) if self._trusted() else None
        with self._lock.held:
            self.hits += found is not None
            self.misses += found is None
        return found

    def _read(self, key: str) -> tuple[dict[str, Any], bytes] | None:
        path = self.path(key)
        try:
            descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            refused = objection(status) if stat.S_ISREG(status.st_mode) else "it is not a file"
            content = b"" if refused else _content(descriptor, status.st_size)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        if refused:
            warn_once(
                f"the entry {path} of the cache of compiled code is not used: {refused}, and code read from it would run with your rights. "
                "Remove it; fad makes it anew."
            )
            return None
        found = _unpacked(key, content)
        with suppress(OSError):
            if found is None:
                os.unlink(path)
            elif time.time() - status.st_mtime > _USED:
                os.utime(path)
        return found

    # -- writing ----------------------------------------------------------------------------------------------------------

    def write(self, key: str, header: dict[str, Any], body: bytes) -> None:
        """Keep an entry."""
        if self._usable is False or not self._writes:
            return
        content = _packed(key, header, body)
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            if self._trusted():
                self._write(key, content)
        except FileNotFoundError:
            pass  # somebody is removing the folder at this moment
        except OSError as error:
            # A full disk, a home that cannot be written to: what is there already can still be read.
            self._writes = False
            warn_once(
                f"compiled code cannot be kept in {self.folder}: {error.strerror or error}. Everything that is not there yet is compiled in each process. "
                "Set FAD_CACHE_DIR to a folder that you may write to, or FAD_DISK_CACHE=0 to do without."
            )

    def _write(self, key: str, content: bytes) -> None:
        unfinished = os.path.join(self.folder, f"{key[:16]}-{os.getpid()}-{os.urandom(4).hex()}{_UNFINISHED}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW
        descriptor = os.open(unfinished, flags, 0o600)
        try:
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            finally:
                os.close(descriptor)
            os.replace(unfinished, self.path(key))
        except BaseException as error:
            with suppress(OSError):
                os.unlink(unfinished)
            # Windows does not replace what somebody reads; an entry that is there holds the same.
            if os.name == "nt" and isinstance(error, PermissionError) and os.path.exists(self.path(key)):
                return
            raise
        with self._lock.held:
            self.written += 1
            if self._size is not None:
                self._size += len(content)
            if self._size is None or self._size > _limit():
                self._clean()

    def _entries(self) -> list[tuple[float, int, str]]:
        """Time, size and path of everything of ours in the folder."""
        found = []
        with suppress(OSError), os.scandir(self.folder) as listing:
            for item in listing:
                if item.name.endswith((_SUFFIX, _UNFINISHED)):
                    with suppress(OSError):
                        status = item.stat(follow_symlinks=False)
                        found.append((status.st_mtime, status.st_size, item.path))
        return found

    def _clean(self) -> None:
        """Count what is there; remove what was not used for longest where it is too much, and what was left unfinished."""
        old, kept = time.time() - _ABANDONED, []
        for entry in self._entries():
            if entry[2].endswith(_UNFINISHED) and entry[0] < old:
                with suppress(OSError):
                    os.unlink(entry[2])
            else:
                kept.append(entry)
        self._size = sum(size for _, size, _ in kept)
        if self._size <= _limit():
            return
        for _, size, path in sorted(kept):
            with suppress(OSError):
                os.unlink(path)
                self._size -= size
            if self._size <= _KEPT * _limit():
                break

    def __str__(self) -> str:
        count, size = self.size()
        entries = f"{count} entr{'y' if count == 1 else 'ies'}, {size / (1 << 20):.1f} MiB"
        process = f"this process found {self.hits}, missed {self.misses} and wrote {self.written}"
        return f"compiled code in {self.folder}: {entries} of at most {config.cache_megabytes} MiB; {process}"

    # -- for people -------------------------------------------------------------------------------------------------------

    def size(self) -> tuple[int, int]:
        """The number of entries, and their bytes."""
        sizes = [size for _, size, path in self._entries() if path.endswith(_SUFFIX)]
        return len(sizes), sum(sizes)

    def clear(self) -> int:
        """Remove every entry; gives how many there were."""
        count = 0
        for _, _, path in self._entries() if self._trusted() else ():
            # What is unfinished belongs to somebody who is writing it.
            with suppress(OSError):
                if path.endswith(_SUFFIX):
                    os.unlink(path)
                    count += 1
        self._size = None
        return count


def _limit() -> int:
    return config.cache_megabytes << 20


def _content(descriptor: int, size: int) -> bytes:
    parts = []
    while size > 0:
        part = os.read(descriptor, size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _packed(key: str, header: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    rest = struct.pack("<I", len(text)) + text + body
    return _MAGIC + sha256(key.encode() + rest).digest() + rest


def _unpacked(key: str, content: bytes) -> tuple[dict[str, Any], bytes] | None:
    """Header and body, ``None`` unless the content is what was written under this key."""
    start = len(_MAGIC) + _DIGEST
    rest = memoryview(content)[start:]
    if content[: len(_MAGIC)] != _MAGIC or len(rest) < 4:
        return None
    digest = sha256(key.encode())
    digest.update(rest)
    if digest.digest() != content[len(_MAGIC) : start]:
        return None
    (length,) = struct.unpack("<I", rest[:4])
    return json.loads(bytes(rest[4 : 4 + length])), bytes(rest[4 + length :])


_caches: dict[str, DiskCache] = {}
_caches_lock = Lock()


def current_cache() -> DiskCache | None:
    """The cache that the settings ask for; ``None`` where it is switched off."""
    folder = chosen_folder()
    if folder is None:
        return None
    with _caches_lock.held:
        if folder not in _caches:
            _caches[folder] = DiskCache(folder)
        return _caches[folder]
