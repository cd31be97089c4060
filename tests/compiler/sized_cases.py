"""Operations at sizes that are arguments of the code, for tests of what must hold whatever the sizes are.

Each case makes a function and its arguments from a function ``size``: ``size("n")`` is one size of the case, the same for the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fad
import fad.numpy as fnp
import fad.scipy.linalg as linalg
from fad import nn

Size = Callable[[str], int]
Case = Callable[[Size], tuple[Callable, list[Any]]]


def numbers(*shape: int, dtype: Any = float) -> np.ndarray:
    """Distinct numbers of moderate size in no special order."""
    return np.sin(np.arange(1.0, 1.0 + np.prod(shape, dtype=int)) * 1.7).reshape(shape).astype(dtype)


def places(*shape: int, below: int, dtype: Any = np.int64) -> np.ndarray:
    """Indices of either sign."""
    count = int(np.prod(shape, dtype=int))
    return (np.arange(count) * 7 % (2 * below) - below).reshape(shape).astype(dtype)


def loss(function: Callable) -> Callable:
    """The gradient of a function with all its results folded into one number."""
    return lambda *args: fad.grad(
        lambda *args: sum(fnp.sum(fnp.sin(out)) for out in fad.tree.leaves(function(*args))),
        argnums=tuple(k for k, a in enumerate(args) if np.dtype(a.dtype).kind == "f"),
    )(*args)


def elementwise(dtype: Any) -> Case:
    return lambda size: (lambda x: (x * 2 + x, x > 0, fnp.abs(x)), [numbers(size("n"), dtype=dtype)])


def matrix(size: Size) -> np.ndarray:
    n = size("n")
    return numbers(2, n, n) + 5 * np.eye(n)


def convolution(dtype: Any, strides: int, dilation: int, padding: str, groups: int = 1) -> Case:
    def case(size: Size) -> tuple[Callable, list[Any]]:
        x, w = numbers(2, size("h") + 4, size("w") + 4, 4, dtype=dtype), numbers(3, 3, 4 // groups, 6, dtype=dtype)

        def f(x: Any, w: Any) -> Any:
            return nn.conv(x, w, stride=strides, dilation=dilation, padding=padding, groups=groups)

        return f, [x, w]

    return case


def channels(size: Size) -> tuple[Callable, list[Any]]:
    x, w = numbers(2, 12, 11, size("c"), dtype="f4"), numbers(3, 2, size("c"), size("d"), dtype="f4")
    return lambda x, w: nn.conv(x, w, padding="SAME"), [x, w]


def depthwise(size: Size) -> tuple[Callable, list[Any]]:
    c = size("c")
    return lambda x, w: nn.conv(x, w, groups=c), [numbers(2, 12, c), numbers(3, 1, c)]


def layer_norm(size: Size) -> tuple[Callable, list[Any]]:
    return nn.layer_norm, [numbers(size("m"), size("n"), dtype="f4")]


def tall(size: Size) -> tuple[Callable, list[Any]]:
    return lambda x: fnp.sum(fnp.exp(x), axis=0), [numbers(size("m") * 3, size("n"))]


def recurrence(size: Size) -> tuple[Callable, list[Any]]:
    def f(c: Any, xs: Any, w: Any) -> Any:
        return fad.scan(lambda c, x: (fnp.tanh(w @ c + x), c * 2), c, xs)

    n = size("n")
    return f, [numbers(n), numbers(size("t"), n), numbers(n, n)]


FORWARD: dict[str, Case] = {
    "float64": elementwise("f8"),
    "float32": elementwise("f4"),
    "float16": elementwise("f2"),
    "int8": elementwise("i1"),
    "int16": elementwise("i2"),
    "sums": lambda size: (
        lambda x: [fnp.sum(x, axis=a) for a in (0, 1, 2, (0, 1), (0, 2), (1, 2), None)],
        [numbers(size("l"), size("m"), size("n"), dtype="f4")],
    ),
    "extremes": lambda size: (
        lambda x: [fnp.max(x), fnp.argmin(x, axis=0), fnp.argmax(x, axis=1), fnp.any(x > 0.9, axis=1)],
        [numbers(size("m"), size("n"))],
    ),
    "softmax": lambda size: (nn.softmax, [numbers(size("m"), size("n"), dtype="f4")]),
    "layer norm": layer_norm,
    "tall": tall,
    "logsumexp": lambda size: (lambda x: fad.scipy.special.logsumexp(x, axis=0), [numbers(size("m"), size("n"))]),
    "product": lambda size: (fnp.matmul, [numbers(size("m"), size("k")), numbers(size("k"), size("n"))]),
    "batched product": lambda size: (
        lambda x, y: fnp.einsum("bik,bjk->bij", x, y),
        [numbers(3, size("m"), size("k"), dtype="f4"), numbers(3, size("n"), size("k"), dtype="f4")],
    ),
    "vector product": lambda size: (fnp.matmul, [numbers(size("m"), size("k")), numbers(size("k"))]),
    "views": lambda size: (
        lambda x: (x.T * 2, x[:, ::-1] + 1, x[1:-1, ::3] * 3, fnp.roll(x, 2, 1), x.reshape(-1)[3:]),
        [numbers(size("m"), size("n"))],
    ),
    "merged axes": lambda size: (
        lambda x: (lambda y: (y, y[:, 1:] + y[:, :-1], y[:, : size("k")] * 2))(
            fnp.reshape(fnp.transpose(x, (1, 0, 2)), (size("n"), -1))
        ),
        [numbers(size("m"), size("n"), size("k"), dtype="f4")],
    ),
    "products one by one": lambda size: (
        lambda x, y: (fnp.einsum("ab,cad->bcd", x, y), fnp.einsum("cad,ab->cdb", y, x)),
        [numbers(size("m"), 3), numbers(size("n"), size("m"), 16)],
    ),
    "parts of a short axis": lambda size: (
        loss(lambda x: [fnp.cumsum(x[:, k], axis=1) * (k + 1) for k in range(3)]),
        [numbers(size("m"), 3, size("n"), size("k"))],
    ),
    "joins": lambda size: (
        lambda x, y: (fnp.concatenate([x, y, x], axis=1), fnp.pad(x, ((2, 1), (0, 9))), fnp.tile(x, (2, 3))),
        [numbers(size("m"), size("n")), numbers(size("m"), size("k"))],
    ),
    "interior padding": lambda size: (
        lambda y: loss(lambda x: x[::3, ::2])(y),
        [numbers(size("m") * 3, size("n"))],
    ),
    "cumulative": lambda size: (
        lambda x: (fnp.cumsum(x, axis=0), fnp.cumprod(x, axis=1), fnp.maximum.accumulate(x, axis=1)),
        [numbers(size("m"), size("n"))],
    ),
    "cumulative logarithms": lambda size: (
        lambda x: fnp.logaddexp.accumulate(x, axis=1),
        [numbers(size("m"), size("n"))],
    ),
    "sorting": lambda size: (
        lambda x: (fnp.sort(x, axis=0), fnp.argsort(x, axis=1), fnp.sort(x.astype(np.float32))),
        [numbers(size("m"), size("n"))],
    ),
    "partial sorting": lambda size: (
        lambda x: (fnp.top_k(x, 3), fnp.partition(x, 2), fnp.median(x, axis=0)),
        [numbers(size("m"), size("n"))],
    ),
    "searching": lambda size: (
        lambda a, v: (fnp.searchsorted(fnp.sort(a), v), fnp.searchsorted(fnp.sort(a), v, side="right")),
        [numbers(size("m")), numbers(size("n"), 2)],
    ),
    "reading": lambda size: (
        lambda x, i: (x[i], x[:, i % x.shape[1]], fnp.take(x, i, mode="clip"), fnp.take_along_axis(x, i[:, None], 0)),
        [numbers(size("m"), size("n")), places(size("k"), below=size("m"))],
    ),
    "writing": lambda size: (
        lambda x, u, i: (x.at[i].add(u), x.at[i].set(u), x.at[i].max(u, mode="drop"), x.at[i].multiply(2.0)),
        [numbers(size("m"), size("n")), numbers(size("k"), size("n")), places(size("k"), below=size("m"))],
    ),
    "solving": lambda size: (
        lambda a, b: (linalg.solve(a, b), fnp.linalg.inv(a), fnp.linalg.cholesky(a @ a.mT)),
        [matrix(size), numbers(2, size("n"), size("k"))],
    ),
    "triangles": lambda size: (
        lambda a, b: linalg.solve_triangular(a[0], b, lower=True),
        [matrix(size), numbers(size("n"), size("k"))],
    ),
    "convolution": convolution("f4", 1, 1, "VALID"),
    "padded convolution": convolution("f8", 1, 1, "SAME"),
    "strided convolution": convolution("f4", 2, 1, "SAME"),
    "dilated convolution": convolution("f8", 1, 2, "VALID"),
    "grouped convolution": convolution("f4", 2, 1, "VALID", 2),
    "channels": channels,
    "depthwise convolution": depthwise,
    "maxima of windows": lambda size: (
        lambda x: (nn.max_pool(x, (2, 2)), nn.max_pool(x, (3, 3), stride=(1, 2), padding="SAME")),
        [numbers(2, size("h"), size("w"), 3, dtype="f4")],
    ),
    "means of windows": lambda size: (
        lambda x: (nn.avg_pool(x, (2, 2)), nn.avg_pool(x, (3, 2), stride=(2, 1), padding="SAME")),
        [numbers(2, size("h"), size("w"), 3)],
    ),
    "recurrence": recurrence,
    "random": lambda size: (
        lambda key: (fad.random.normal(key, (size("m"), size("n"))), fad.random.bits(key, (size("k"),))),
        [fad.random.key(3)],
    ),
}


def ends(size: Size) -> tuple[Callable, list[Any]]:
    """Arrays with elements added at their ends, read at other places than their own."""

    def f(x: Any, y: Any) -> Any:
        joined = fnp.concatenate([y[:1], x[1:] * x[:-1], y[1:3]])
        wider = fnp.pad(joined * 2.0 + 1.0, (2, 3))
        nearer = wider[1:] - wider[:-1]
        turned = fnp.concatenate([nearer[::-1], nearer[:2]]) * 3.0
        return joined, nearer, turned[1:-1] + turned[2:], fnp.pad(x[:2], (1, x.size)), fnp.pad(y[:1], (y.size, 2)) * 2.0

    return f, [numbers(size("n")), numbers(size("m"))]


def borders(size: Size) -> tuple[Callable, list[Any]]:
    """Stencils: neighbours along both axes of an array with a border."""

    def f(x: Any, v: Any) -> Any:
        wide = fnp.pad(x * x, ((1, 1), (2, 0)))
        inner = wide[1:-1, 2:] * 4.0 - wide[:-2, 2:] - wide[2:, 2:] - wide[1:-1, 1:-1]
        tall = fnp.concatenate([v[None], fnp.sin(inner), v[None] * 2.0, v[None]], axis=0)
        long = fnp.concatenate([tall[:, :1], tall + 1.0, tall[:, -2:]], axis=1)
        return inner, tall[1:] - tall[:-1], long * 2.0, long.sum(axis=1), fnp.pad(x, ((0, 0), (0, 1)))[:, ::-1] + 1.0

    return f, [numbers(size("n"), size("m")), numbers(size("m"))]


def neighbours(size: Size) -> tuple[Callable, list[Any]]:
    """Long loops that read each other's results beside their own place, behind and then ahead."""

    def f(x: Any, y: Any) -> Any:
        for _ in range(3):
            x = fnp.concatenate([x[:1], x[1:] * x[:-1]]) * 0.5 + y
        z = y
        for _ in range(3):
            z = fnp.pad(z[1:] * y[1:], (0, 1)) - x
        return x, z

    n = 16 * size("n") + 3
    return f, [numbers(n), numbers(2 * n)[n:]]


def short_rows(size: Size) -> tuple[Callable, list[Any]]:
    """Many vectors of three: joined, crossed, summed along either axis."""

    def f(x: Any, w: Any) -> Any:
        axis = fnp.concatenate([x[:, 1:], x[:, :1]], axis=1)
        turned = fnp.cross(axis, x) * fnp.sin(fnp.sum(x * x, axis=1, keepdims=True)) + w[:, None] * x
        return (
            turned,
            fnp.sum(turned, axis=0),
            fnp.max(turned, axis=1),
            fnp.sum(turned),
            fnp.pad(turned, ((1, 2), (4, 5))),
        )

    n = 256 * size("n")
    return f, [numbers(n, 3), numbers(n)]


FORWARD["ends"], FORWARD["borders"], FORWARD["neighbours"] = ends, borders, neighbours
FORWARD["short rows"] = short_rows

BACKWARD = (
    "float64", "sums", "extremes", "softmax", "layer norm", "tall", "logsumexp", "product", "batched product", "vector product",
    "products one by one",
    "views", "joins", "cumulative", "sorting", "reading", "writing", "solving", "triangles", "convolution", "padded convolution",
    "strided convolution", "dilated convolution", "grouped convolution", "channels", "depthwise convolution", "maxima of windows",
    "means of windows", "recurrence", "ends", "borders", "neighbours", "short rows",
)  # fmt: skip


def gradient_of(case: Case) -> Case:
    def backward(size: Size) -> tuple[Callable, list[Any]]:
        function, args = case(size)

        def smooth(*args: Any) -> Any:
            outs = [o for o in fad.tree.leaves(function(*args)) if np.dtype(o.dtype).kind == "f"]
            return outs

        return loss(smooth), args

    return backward


CASES: dict[str, Case] = FORWARD | {f"gradient of {name}": gradient_of(FORWARD[name]) for name in BACKWARD}


def sizes_from(*values: int) -> Size:
    """Sizes handed out in order, a new name the next value, round and round."""
    known: dict[str, int] = {}

    def size(name: str) -> int:
        if name not in known:
            known[name] = values[len(known) % len(values)] + len(known) // len(values)
        return known[name]

    return size
