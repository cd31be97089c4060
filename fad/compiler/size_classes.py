"""What the code knows of a size: its value if it is small, else only whether it is long."""

__all__ = ["LARGEST_STATIC", "LONG", "MOST_REGISTERS"]

LARGEST_STATIC = 8
"""Sizes up to this are compiled in; larger ones are arguments of the code."""

LONG = 128
"""Whether a size is at least this is compiled in; it decides how loops are fused."""

MOST_REGISTERS = 16
"""A value of at most so many elements, all of its sizes small, is kept in registers."""
