"""`check_primitive` finds each kind of mistake in a declaration."""

import numpy as np
import pytest

import fad
from fad.core.avals import ShapedArray
from fad.core.errors import ArgumentError
from fad.core.primitive import REGISTRY, Primitive, linear, no_rule
from fad.core.samples import case, f32, f64
from fad.primitives.math_functions import cos, sin
from fad.primitives.structural import convert
from fad.testing import CheckError, check_primitive
from fad.testing.primitives import missing_rules


def declare(**changes):
    """A right declaration of x * y, with some slots changed."""
    slots = {
        "impl": "multiply",
        "shape": lambda x, y: ShapedArray(np.broadcast_shapes(x.shape, y.shape), np.result_type(x.dtype, y.dtype)),
        "jvp": lambda p, t: (
            p[0] * p[1],
            sum(a * b for a, b in ((t[0], p[1]), (p[0], t[1])) if a is not None and b is not None),
        ),
        "vjp": lambda x, y: (x * y, lambda ct: [ct * y, ct * x]),
        "batch": lambda size, args, mapped: (product.bind(*args), True),
        "kernel": None,
        "samples": [case(f64(2, 3), f64(2, 3)), case(f32(2), f32(2))],
        **changes,
    }
    product = Primitive("product", register=False, **slots)
    return product


def test_a_right_declaration_passes():
    check_primitive(declare())


MISTAKES = {
    "shape": ({"shape": lambda x, y: ShapedArray(x.shape, np.float64)}, "the shape rule says float64"),
    "wrong slope": (
        {"vjp": lambda x, y: (x * y, lambda ct: [ct * y, ct * x * 2])},
        r"vjp: <vjp\(c\), t> is .*they differ",
    ),
    "cotangent dtype": (
        {"vjp": lambda x, y: (x * y, lambda ct: [convert(ct * y, np.dtype("float64")), ct * x])},
        "argument 0 is float32.2., its cotangent is float64",
    ),
    "cotangent shape": (
        {"vjp": lambda x, y: (x * y, lambda ct: [(ct * y)[0], ct * x])},
        r"argument 0 is float64\[2,3\], its cotangent is float64\[3\]",
    ),
    "missing cotangent": ({"vjp": lambda x, y: (x * y, lambda ct: [ct * y])}, "gives 1 cotangents for 2 arguments"),
    "tangent dtype": (
        {"jvp": lambda p, t: (p[0] * p[1], convert((t[0] if t[1] is None else t[1]) * 1.0, np.dtype("float64")))},
        "its tangent is float64",
    ),
    "both rules wrong alike": (
        {
            "jvp": lambda p, t: (
                p[0] * p[1],
                sum(a * b * 3 for a, b in ((t[0], p[1]), (p[0], t[1])) if a is not None and b is not None),
            ),
            "vjp": lambda x, y: (x * y, lambda ct: [3 * ct * y, 3 * ct * x]),
        },
        "derivatives: fwd .order 1.: the directional derivative of result 0 is wrong",
    ),
    "writes into its argument": ({"impl": lambda xp, x, y: xp.multiply(x, y, out=x)}, "inputs"),
    "depends on the layout": (
        {"impl": lambda xp, x, y: xp.multiply(x, y) * (1 if x.flags.c_contiguous else 2)},
        "inputs: Fortran order",
    ),
    "tangents for one argument only": (
        {"jvp": lambda p, t: (p[0] * p[1], None if t[0] is None else t[0] * p[1])},
        "jvp|derivatives",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_found(mistake):
    slots, message = MISTAKES[mistake]
    with pytest.raises(CheckError, match=message):
        check_primitive(declare(**slots))


def test_a_slope_used_twice_is_found_at_second_order():
    wrong = Primitive(
        "twice",
        impl="sin",
        shape=lambda x: x.update(),
        jvp=lambda p, t: (sin.bind(p[0]), cos.bind(np.asarray(getattr(p[0], "primal", p[0]))) * t[0]),
        vjp=lambda x: (sin.bind(x), lambda ct: [ct * cos.bind(x)]),
        batch=lambda size, args, mapped: (wrong.bind(*args), True),
        kernel=None,
        samples=[case(f64(3))],
        register=False,
    )
    with pytest.raises(CheckError, match="order 2"):
        check_primitive(wrong)


def test_a_batch_rule_that_mixes_axes_is_found():
    wrong = Primitive(
        "first_axis_sum",
        impl=lambda xp, x: xp.sum(x, axis=0),
        shape=lambda x: ShapedArray(x.shape[1:], x.dtype),
        jvp=linear,
        vjp=no_rule("not needed here"),
        batch=lambda size, args, mapped: (wrong.bind(args[0]), False),
        kernel=None,
        samples=[case(f64(2, 3))],
        register=False,
    )
    with pytest.raises(CheckError, match=r"batch: mapped=\[True\]"):
        check_primitive(wrong)


def test_missing_rules_need_a_reason():
    common = {"impl": "sin", "shape": lambda x: x, "kernel": None, "samples": [case(f64(2))], "register": False}
    silent = Primitive("silent", jvp=linear, vjp=None, batch=None, **common)
    aloud = Primitive("aloud", jvp=no_rule("why"), vjp=no_rule("why"), batch=no_rule("why"), **common)
    assert len(missing_rules(silent)) == 2
    assert missing_rules(aloud) == []
    check_primitive(aloud)


def test_options_are_checked():
    with pytest.raises(ArgumentError, match=r"unknown checks \['colour'\]; there are shape, inputs, jvp"):
        check_primitive(REGISTRY["sin"], checks=["colour"])
    with pytest.raises(ArgumentError, match="declares no samples"):
        check_primitive(declare(samples=[]))


def test_a_call_that_fails_is_reported_with_its_case():
    with pytest.raises(CheckError, match=r"product case\(float64\[2\], float64\[3\]\): the call itself"):
        check_primitive(declare(), case(f64(2), f64(3)))


def test_the_case_may_be_given():
    fad.testing.check_primitive(REGISTRY["sin"], case(f64(4, 4)))
