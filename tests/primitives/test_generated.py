"""Every rule of every primitive on every sample of its declaration: ``pytest tests/primitives -k name`` for one primitive."""

import importlib
import pkgutil

import pytest

import fad
import fad.primitives
from fad.core.primitive import REGISTRY
from fad.testing import check_primitive
from fad.testing.primitives import missing_rules

for module in pkgutil.iter_modules(fad.primitives.__path__, "fad.primitives."):
    importlib.import_module(module.name)

PRIMITIVES = sorted((p for p in REGISTRY.values() if not p.declared_outside), key=lambda p: p.name)
TRIALS = [(p, k) for p in PRIMITIVES for k in range(len(p.samples))]


@pytest.mark.parametrize(("primitive", "index"), TRIALS, ids=[f"{p.name}-{k}" for p, k in TRIALS])
def test_rules_on_sample(primitive, index):
    check_primitive(primitive, primitive.samples[index])


def test_every_primitive_has_samples():
    # Samples are calls with plain params and no named axis: what takes Programs, and collectives, are checked in tests/transforms.
    without = [p.name for p in PRIMITIVES if not p.samples and not p.higher_order and not p.collective]
    assert not without, f"no samples: {without}"


def test_every_rule_slot_is_filled_or_says_why():
    problems = [f"{p.name}: {problem}" for p in PRIMITIVES for problem in missing_rules(p)]
    assert not problems, "\n".join(problems)


def test_every_primitive_keeps_its_name():
    assert all(REGISTRY[p.name] is p for p in PRIMITIVES)
