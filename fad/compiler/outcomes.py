"""What a native call gives in place of results."""

from __future__ import annotations

__all__ = ["FAILED", "MISS", "Answer", "NativeFailure"]


class NativeFailure(Exception):
    """Native code found an error; evaluating the Program operation by operation raises it with its explanation."""


class Answer:
    """A word that stands for results that there are not."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return self.name


MISS = Answer("MISS")
"""The arguments do not fit the signature that the code was made for."""
FAILED = Answer("FAILED")
"""The code found an error."""
