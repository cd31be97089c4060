"""The texts of lowered functions: golden text, so that a lost fusion is seen, and what every stage says."""

import re

import numpy as np
import pytest

import fad
import fad.nn
import fad.numpy as fnp
from fad.compiler.report.texts import STAGES
from fad.core.errors import ArgumentError
from tests.compiler import golden

X = np.ones((200, 300))
V = X[0]
W = np.ones((300, 40))

GOLDEN = {
    "chain": (
        golden.chain,
        (X,),
        """
kernel 1, loops: 300.0k flops, 120.0k transcendentals, reads 468.8 KiB, writes 468.8 KiB
  for i < 200, j < 300:
    g[i, j] = tanh(sin(x[i, j]) * 2.0 + x[i, j] ** 2) / (1.0 + x[i, j])  # golden.py:8
""",
    ),
    "softmax": (
        golden.softmax,
        (X,),
        """
kernel 1, loops: 240.0k flops, 60.0k transcendentals, reads 468.8 KiB, writes 468.8 KiB
  for i < 200:
    for j < 300:
      a = max(a, x[i, j])      # golden.py:12
    for j < 300:
      d[j] = exp(x[i, j] - a)  # golden.py:12
      e += d[j]                # golden.py:13
    for j < 300:
      g[i, j] = d[j] / e       # golden.py:13
""",
    ),
    "layer_norm": (
        golden.layer_norm,
        (X, V, V),
        """
kernel 1, loops: 420.8k flops, reads 473.4 KiB, writes 468.8 KiB
  for i < 200:
    for j < 300:
      a += x[i, j]                              # golden.py:17
    b = a / 300                                 # golden.py:17
    for j < 300:
      d[j] = x[i, j] - b                        # golden.py:17
      f += d[j] ** 2                            # golden.py:18
    g = f / 300                                 # golden.py:18
    p = sqrt(g + 1e-05)                         # golden.py:19
    for j < 300:
      s[i, j] = d[j] / p * scale[j] + shift[j]  # golden.py:19
""",
    ),
    "cross_entropy": (
        golden.cross_entropy,
        (X, X),
        """
kernel 1, loops: 360.2k flops, 60.2k transcendentals, reads 937.5 KiB, writes 8 B
  for i < 200:
    for j < 300:
      a = max(a, logits[i, j])                # golden.py:23
    for j < 300:
      e += exp(logits[i, j] - a)              # golden.py:24
    h = log(e) + a                            # golden.py:24
    for j < 300:
      q += (h - logits[i, j]) * labels[i, j]  # golden.py:25
kernel 2, registers: 1 flops, reads 8 B, writes 8 B
  r = q / 200                                 # golden.py:25
""",
    ),
    "layer": (
        golden.layer,
        (X, W, W[0]),
        """
kernel 1, product: 4.8M flops, reads 562.5 KiB, writes 62.5 KiB
  a = x @ w                                 # golden.py:29
kernel 2, loops: 16.0k flops, reads 62.8 KiB, writes 62.5 KiB
  for i < 200, j < 40:
    d[i, j] = maximum(a[i, j] + b[j], 0.0)  # golden.py:29
""",
    ),
    "gradient of a layer": (
        fad.grad(golden.layer_loss, argnums=(0, 1)),
        (W, W[0], X),
        """
kernel 1, product: 4.8M flops, reads 562.5 KiB, writes 62.5 KiB
  a = x @ w                                         # golden.py:29
kernel 2, loops: 56.0k flops, reads 62.8 KiB, writes 62.8 KiB
  for i < 200, j < 40:
    c = a[i, j] + b[j]                              # golden.py:29
    p = float64(c > 0.0) + float64(c == 0.0) * 0.5  # golden.py:29, backward of maximum
    q[i, j] = 1.0 * p                               # golden.py:29, backward of maximum
    r[j] += q[i, j]                                 # golden.py:29, backward of add
kernel 3, product: 4.8M flops, reads 531.2 KiB, writes 93.8 KiB
  s = x.T @ q                                       # golden.py:29, backward of dot_general
""",
    ),
    "recurrence": (
        golden.recurrence,
        (np.ones((8, 40)), np.ones((40, 40)), np.ones((10, 8, 40))),
        """
kernel 1, scan, 10 turns: 262.4k flops, 3.2k transcendentals, reads 200.0 KiB, writes 50.1 KiB
  a, b = scan(w, h, xs, length=10, reverse=False, constants=1, carry=1)  # golden.py:41
    in every turn c = w
    in each turn e = xs[turn]
    d starts as h; then d = o
    gives b[turn] = p
  kernel 2, product: 25.6k flops, reads 15.0 KiB, writes 2.5 KiB
    f = d @ c                                                     # golden.py:38
  kernel 3, loops: 640 flops, 320 transcendentals, reads 5.0 KiB, writes 2.5 KiB
    for i < 8, j < 40:
      o[i, j] = tanh(f[i, j] + e[i, j])                           # golden.py:38
      p += o[i, j]                                                # golden.py:39
""",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_kernels(name):
    function, args, text = GOLDEN[name]
    assert fad.jit(function).lower(*args).as_text("kernels") == text.strip()


def test_the_same_text_every_time():
    function, args, _ = GOLDEN["recurrence"]
    first = {stage: fad.jit(function).lower(*args).as_text(stage) for stage in STAGES}
    fad.jit(golden.chain).lower(V).compile()
    assert {stage: fad.jit(function).lower(*args).as_text(stage) for stage in STAGES} == first


def model(params, x):
    h = fnp.tanh(x @ params["w"])
    u, s, _ = fnp.linalg.svd(h, full_matrices=False)
    return (u * params["b"]).sum() + s.sum()


MODEL = ({"w": W, "b": W[0]}, X)


def test_programs_name_arguments_as_the_user_does():
    lowered = fad.jit(model).lower(*MODEL)
    program, simplified = lowered.as_text("program"), lowered.as_text("simplified")
    assert "params['w']:float64[300,40]" in program
    assert "= x @ params['w']" in simplified
    line = model.__code__.co_firstlineno + 1
    assert f"# test_report.py:{line}" in program.splitlines()[1]


def test_segments_say_why_python_steps_in():
    text = fad.jit(model).lower(*MODEL).as_text("segments")
    assert text.startswith("segment 1, native code: kernels 1 to 2")
    assert re.search(
        r"Python: .* = svd\(\w, full=False, vectors=True\) \(test_report.py:\d+\)\n  because it has no native lowering",
        text,
    )
    assert "segment 2, native code" in text


def test_memory_names_temporaries_and_their_lives():
    lowered = fad.jit(golden.layer).lower(X, W, W[0])
    text = lowered.as_text("memory")
    assert re.search(r"a +\(200,40\) +64000 +0 +1 to 2", text)
    arena = lowered.compile().native.steps[0].arena_size
    assert arena == lowered.cost_analysis()["arena_bytes"] == 64000


def test_machine_code_is_shown():
    lowered = fad.jit(golden.chain).lower(X)
    assert "define i64 @" in lowered.as_text("llvm")
    optimised = lowered.as_text("optimised_llvm")
    assert re.search(r"<\d+ x double>", optimised)
    assert "segment1" in lowered.as_text("assembly")
    assert ".globl" in lowered.as_text("assembly") or "globl" in lowered.as_text("assembly")


def test_an_overview_is_printed():
    text = str(fad.jit(model).lower(*MODEL))
    headings = ["Program as traced", "Program after all passes", "Segments", "Kernels", "Memory"]
    assert [text.index(f"{h}") for h in headings] == sorted(text.index(f"{h}") for h in headings)
    assert "as_text('assembly')" in text
    assert repr(fad.jit(golden.chain).lower(V)) == "<lowered chain(x: float64[300]) -> float64[300]>"


def test_an_unknown_stage_is_refused():
    with pytest.raises(ArgumentError, match=r"no stage 'ir'; the stages are 'program', 'simplified', "):
        fad.jit(golden.chain).lower(V).as_text("ir")


def test_every_kind_of_kernel_has_a_text():
    def f(x, n):
        y = fad.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, fnp.sin(s[1]) * x), (0, x))[1]
        y = fad.cond(y.sum() > 0, lambda: y * 2, lambda: y - 1)
        y = y.at[fnp.argsort(x)[:3]].add(fnp.cumsum(x)[:3])
        y = fnp.pad(y, 2)[::-1].reshape(2, -1).T
        return fnp.linalg.solve(y.T @ y + fnp.eye(2), y[:2]), fad.nn.max_pool(x.reshape(1, 30, 1), 3)

    text = fad.jit(f).lower(fnp.ones(30), 5).as_text("kernels")
    for part in (
        "while, as long as its condition holds",
        "goes on while",
        " is 0: ",
        "argsort",
        "scatter_add",
        "solve",
        " - ",
    ):
        assert part in text, part


def test_loops_of_no_turns_and_empty_arrays_have_texts():
    lowered = fad.jit(lambda x: (fad.scan(lambda c, y: (c + y, c), 0.0, x), (x * 2).sum())).lower(np.ones(0))
    assert "0 turns" in lowered.as_text("kernels")
    assert lowered.cost_analysis()["flops"] == 0


def test_costs():
    cost = fad.jit(golden.layer).lower(X, W, W[0]).cost_analysis()
    assert cost["flops"] == 2 * 200 * 300 * 40 + 2 * 200 * 40
    assert cost["argument_bytes"] == X.nbytes + W.nbytes + W[0].nbytes
    assert cost["result_bytes"] == 200 * 40 * 8
    assert cost["peak_memory"] == cost["argument_bytes"] + cost["result_bytes"] + cost["arena_bytes"]
    product, loops = cost["kernels"]
    assert (product["kind"], loops["kind"]) == ("product", "loops")
    assert product["bytes_read"] == X.nbytes + W.nbytes
    assert product["lines"] == (f"golden.py:{golden.layer.__code__.co_firstlineno + 1}",)


def test_costs_of_loops_count_their_turns():
    h, w, xs = GOLDEN["recurrence"][1]
    cost = fad.jit(golden.recurrence).lower(h, w, xs).cost_analysis()
    scan, product, _ = cost["kernels"]
    assert product["flops"] == 2 * 8 * 40 * 40
    assert scan["flops"] == cost["flops"] == 10 * (product["flops"] + 2 * 8 * 40)
    assert cost["transcendentals"] == 10 * 8 * 40


@pytest.mark.parametrize(
    ("function", "flops"),
    [
        (lambda x: fnp.linalg.inv(x), 2 * 20**3),
        (lambda x: (x * 1j) * x, 10 * 20**2),
        (lambda x: x.T, 0),
        (lambda x: x.astype(np.float32), 0),
    ],
)
def test_costs_of_other_operations(function, flops):
    assert fad.jit(function).lower(np.ones((20, 20))).cost_analysis()["flops"] == flops


def test_the_cost_of_a_convolution_is_its_products():
    x, w = np.ones((2, 8, 8, 3)), np.ones((3, 3, 3, 5))

    def loss(w, x):
        return fad.nn.conv(x, w, padding="VALID").sum()

    forward = fad.jit(loss).lower(w, x).cost_analysis()["kernels"][0]["flops"]
    assert forward == 2 * (2 * 6 * 6 * 5) * (3 * 3 * 3)
    backward = fad.jit(fad.grad(loss)).lower(w, x).cost_analysis()["kernels"]
    assert max(k["flops"] for k in backward) == forward
