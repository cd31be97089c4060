"""Settings of fad, process-wide with per-context overrides.

A setting is read through a ``ContextVar``, so that an override in one thread or task is never seen by another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from fad.core.errors import ArgumentError
from fad.core.locks import Lock

__all__ = ["Config", "config"]

_SETTINGS: dict[str, tuple[Any, str]] = {
    "strict_derivatives": (
        False,
        "let 0 * inf be NaN in derivatives, as IEEE 754 says, instead of keeping zero cotangents zero",
    ),
    "check_nans": (False, "raise as soon as an operation, forward or backward, makes a NaN"),
    "check_infs": (False, "raise as soon as an operation, forward or backward, makes an infinity"),
    "disable_jit": (False, "run jitted functions as plain Python"),
    "verify_programs": (False, "run the Program verifier after every compiler pass"),
    "out_of_bounds": ("raise", "what an out-of-range index does: 'raise', 'clip' or 'drop'"),
    "compile": (True, "let jit compile to native code; otherwise Programs are evaluated op by op"),
    "threads": (0, "threads of compiled loops; 0 means FAD_NUM_THREADS or all cores"),
    "kept_results": (
        4,
        "so many dead results of 4 to 64 MiB, and twice as many of 1 to 4, leave their memory to later results of compiled functions",
    ),
    "disk_cache": (True, "keep compiled code on disk, where later processes find it"),
    "cache_folder": ("", "where compiled code is kept; '' means FAD_CACHE_DIR, else the user's cache directory"),
    "cache_megabytes": (256, "the most that kept code may take; what was not used for longest goes first"),
}

_CHOICES = {"out_of_bounds": ("raise", "clip", "drop")}

_NO_OVERRIDES: dict[str, Any] = {}
_overrides: ContextVar[dict[str, Any]] = ContextVar("fad_config_overrides", default=_NO_OVERRIDES)


_CHECKS = ("check_nans", "check_infs")
_PROCESS_WIDE = ("kept_results",)


class _Checks:
    """Whether anybody in the process wants NaN or infinity checks: what needs no test per operation while nobody does."""

    def __init__(self) -> None:
        self.contexts = 0
        self.on = False
        self.install: Callable[[bool], None] = lambda on: None
        self.lock = Lock()

    def refresh(self, values: dict[str, Any], change: int) -> None:
        """Count a context that wants checks in or out, and tell the traces if anything changed."""
        with self.lock.held:
            self.contexts += change
            on = self.contexts > 0 or any(values[name] for name in _CHECKS)
            if on != self.on:
                self.install(on)
                self.on = on


class Config:
    """Settings of the library, read as attributes.

    Use :meth:`update` for the whole process and :meth:`using` for a ``with`` block.

    Examples
    --------
    >>> import fad
    >>> fad.config.strict_derivatives
    False
    >>> with fad.config.using(strict_derivatives=True):
    ...     fad.config.strict_derivatives
    True
    """

    def __init__(self) -> None:
        object.__setattr__(self, "_values", {name: default for name, (default, _) in _SETTINGS.items()})
        object.__setattr__(self, "_stamp", object())
        object.__setattr__(self, "_checks", _Checks())
        object.__setattr__(self, "_watchers", {})

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"fad.config has no setting {name!r}; it has: {', '.join(sorted(_SETTINGS))}")

    def __setattr__(self, name: str, value: Any) -> None:
        self.update(name, value)

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *_SETTINGS])

    def update(self, name: str, value: Any) -> None:
        """Change one setting for the whole process.

        Parameters
        ----------
        name : str
            The setting.
        value : object
            Its new value, of the same type as the default.

        Raises
        ------
        ArgumentError
            If there is no such setting, or it does not take the value.

        Examples
        --------
        >>> import fad
        >>> fad.config.update("strict_derivatives", False)
        """
        _check_setting(name, value)
        self._values[name] = value
        object.__setattr__(self, "_stamp", object())
        if name in _CHECKS:
            self._checks.refresh(self._values, 0)
        if name in self._watchers:
            self._watchers[name]()

    @contextmanager
    def using(self, **settings: Any) -> Iterator[None]:
        """Override settings inside a ``with`` block, for the current thread or task only.

        Parameters
        ----------
        **settings
            Names and values.

        Raises
        ------
        ArgumentError
            If there is no such setting, it does not take the value, or it cannot differ between threads.

        Examples
        --------
        >>> import fad
        >>> with fad.config.using(check_nans=True):
        ...     pass
        """
        for name, value in settings.items():
            _check_setting(name, value)
            if name in _PROCESS_WIDE:
                raise ArgumentError(f"fad.config.{name} holds for the whole process: set it by fad.config.update")
        before, asks = _overrides.get(), any(settings.get(name) for name in _CHECKS)
        if asks:
            self._checks.refresh(self._values, 1)
        try:
            _overrides.set({**before, **settings})
            yield
        finally:
            _overrides.set(before)
            if asks:
                self._checks.refresh(self._values, -1)

    def watch_checks(self, install: Callable[[bool], None]) -> None:
        """Have ``install`` called with whether any thread may want NaN or infinity checks, whenever that changes."""
        self._checks.install = install
        self._checks.refresh(self._values, 0)

    def watch(self, name: str, changed: Callable[[], None]) -> None:
        """Have ``changed`` called whenever a setting is changed for the whole process."""
        self._watchers[name] = changed

    def process_wide(self, name: str) -> Any:
        """A setting's value outside every :meth:`using`."""
        return self._values[name]

    def stamp(self) -> object:
        """An object that is the same one as long as no setting changes; ``None`` inside :meth:`using`."""
        return self._stamp if _overrides.get() is _NO_OVERRIDES else None

    def trace_key(self) -> tuple[Any, ...]:
        """The settings that change what a trace records; part of every trace cache's key."""
        return (self.strict_derivatives, self.out_of_bounds, self.check_nans, self.check_infs)

    def describe(self) -> str:
        """Every setting with its current value and meaning, one per line.

        Examples
        --------
        >>> import fad
        >>> "strict_derivatives" in fad.config.describe()
        True
        """
        return "\n".join(f"{name} = {getattr(self, name)!r}: {text}" for name, (_, text) in sorted(_SETTINGS.items()))


def _check_setting(name: str, value: Any) -> None:
    if name not in _SETTINGS:
        raise ArgumentError(f"fad.config has no setting {name!r}; it has: {', '.join(sorted(_SETTINGS))}")
    default = _SETTINGS[name][0]
    if type(value) is not type(default):
        raise ArgumentError(f"fad.config.{name} takes a {type(default).__name__}, got {value!r}")
    if value not in _CHOICES.get(name, (value,)):
        raise ArgumentError(f"fad.config.{name} takes one of {', '.join(map(repr, _CHOICES[name]))}, got {value!r}")
    if type(value) is int and value < 0:
        raise ArgumentError(f"fad.config.{name} takes a number that is not negative, got {value}")


def _reader(name: str) -> property:
    def read(self: Config) -> Any:
        overrides = _overrides.get()
        return overrides[name] if name in overrides else self._values[name]

    return property(read)


# Properties, since rules ask while they run, and what __getattr__ finds takes four times as long.
for _name in _SETTINGS:
    setattr(Config, _name, _reader(_name))

config = Config()
