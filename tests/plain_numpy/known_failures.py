"""Entries of the corpus that fad refuses in some mode, each with the modes and the reason.

A listed entry must raise one of fad's own errors there; when it starts to work, its line has to go. A wrong number can
never be listed.
"""

KNOWN_FAILURES: dict[str, tuple[frozenset[str], str]] = {}
