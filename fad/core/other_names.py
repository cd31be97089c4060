"""What other libraries call things: where a user of theirs asks for a name that fad does not have, the error says fad's."""

from __future__ import annotations

__all__ = ["missing"]

_LOOPS = "scan, cond, switch, while_loop, fori_loop and associative_scan are functions of fad itself, operations on arrays are in fad.numpy"

_ELSEWHERE: dict[str, dict[str, str]] = {
    "fad": {
        "lax": "spread: " + _LOOPS,
        "make_jaxpr": "fad.make_program",
        "remat": "fad.checkpoint",
        "pmap": "fad.vmap; fad.jit runs on all cores",
        "tree_util": "fad.tree",
        "tree_map": "fad.tree.map",
        "ShapeDtypeStruct": "fad.ShapedArray",
        "device_get": "numpy.asarray",
        "custom_gradient": "fad.custom_vjp",
        "custom_derivatives": "fad.custom_jvp and fad.custom_vjp",
        "lib": "fad.extend",
        "disable_jit": "a plain call: functions run without fad.jit as well",
        "no_grad": "fad.stop_gradient; nothing is recorded outside fad.grad, fad.vjp and their like",
        "tensor": "fad.Array",
        "array": "fad.Array or fad.numpy.array",
        "elementwise_grad": "fad.vmap(fad.grad(f)), or fad.grad of the sum",
    },
    "fad.numpy": {
        "ndarray": "fad.Array",
        "relu": "fad.nn.relu",
        "softmax": "fad.nn.softmax",
        "sigmoid": "fad.nn.sigmoid",
        "logsumexp": "fad.scipy.special.logsumexp",
        "erf": "fad.scipy.special.erf",
        "fill_diagonal": "x.at[fad.numpy.diag_indices(n)].set(value), as fad arrays are immutable",
        "put": "x.at[index].set(values), as fad arrays are immutable",
        "place": "fad.numpy.where(mask, values, x), as fad arrays are immutable",
        "putmask": "fad.numpy.where(mask, values, x), as fad arrays are immutable",
        "copyto": "fad.numpy.where or x.at[index].set(values), as fad arrays are immutable",
        "random": "fad.random, whose functions take a key",
    },
    "fad.random": {
        "PRNGKey": "fad.random.key",
        "default_rng": "fad.random.key(seed), which every function here takes, and fad.random.split for more keys",
        "seed": "fad.random.key(seed), which every function here takes",
        "rand": "fad.random.uniform(key, shape)",
        "randn": "fad.random.normal(key, shape)",
        "shuffle": "fad.random.permutation(key, x)",
        "standard_normal": "fad.random.normal(key, shape)",
    },
}


def missing(module: str, name: str) -> AttributeError:
    """The error about a name that a module does not have."""
    text = f"module {module!r} has no attribute {name!r}"
    found = _ELSEWHERE.get(module, {}).get(name)
    return AttributeError(f"{text}. In fad that is {found}." if found else text)
