"""A primitive without samples would have no generated checks: none may be declared so."""

import importlib

from fad.core.primitive import REGISTRY
from tests.house.reading import modules


def load_every_primitive() -> None:
    for name in modules():
        if name.startswith(("fad.primitives", "fad.transforms")):
            importlib.import_module(name)


def test_every_primitive_has_samples():
    load_every_primitive()
    # A primitive that carries Programs (a scan, a jitted call) has no arrays of its own to sample, and a collective has a meaning
    # only inside a vmap that names its axis: tests/transforms checks both kinds.
    without = [
        name
        for name, primitive in REGISTRY.items()
        if not primitive.samples and not (primitive.higher_order or primitive.collective or primitive.declared_outside)
    ]
    assert not without, f"give each at least one case in its `samples`: {without}"


def test_no_rule_says_why():
    load_every_primitive()
    for name, primitive in REGISTRY.items():
        for slot in ("jvp", "vjp", "batch"):
            reason = getattr(getattr(primitive, slot), "missing_rule", None)
            assert reason is None or len(reason) > 10, f"{name}.{slot}: no_rule needs its reason in words"
