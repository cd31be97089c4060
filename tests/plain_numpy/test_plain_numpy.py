"""Every plain-NumPy function of the corpus in every mode: right, or refused with a clear error, never wrong."""

import pytest

from tests.plain_numpy.corpus import ENTRIES, REFUSED
from tests.plain_numpy.known_failures import KNOWN_FAILURES
from tests.plain_numpy.modes import CHECKS, STAGED, run


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_entry_in_every_mode(entry):
    known_modes, reason = KNOWN_FAILURES.get(entry.name, (frozenset(), ""))
    for mode in CHECKS:
        refusal = run(entry, mode)
        if mode in known_modes:
            assert refusal is not None, f"{entry.name} works in mode {mode} now: remove it from KNOWN_FAILURES"
        elif entry.eager_only and mode in STAGED:
            assert refusal is not None, f"{entry.name} is tagged eager_only but works in mode {mode}"
        elif refusal is not None:
            raise AssertionError(f"{entry.name} is refused in mode {mode}: {refusal}") from refusal


@pytest.mark.parametrize("entry", REFUSED, ids=lambda entry: entry.name)
@pytest.mark.parametrize("mode", [mode for mode in CHECKS if mode != "value"])
def test_what_cannot_be_followed_is_refused_or_right(entry, mode):
    run(entry, mode)


def test_gate():
    """At least 95 % of the corpus passes in every mode: `test_entry_in_every_mode` holds all the others to it."""
    names = {entry.name for entry in ENTRIES}
    assert set(KNOWN_FAILURES) <= names
    assert all(reason and modes <= set(CHECKS) for modes, reason in KNOWN_FAILURES.values())
    failing = [f"{name} ({', '.join(sorted(modes))}): {why}" for name, (modes, why) in KNOWN_FAILURES.items()]
    assert len(failing) <= 0.05 * len(ENTRIES), "\n".join(failing)
