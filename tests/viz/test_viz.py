"""Plots and graphs: what they show, and that their texts are sound."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import fad
import fad.numpy as fnp
import fad.optim
import fad.viz
from fad import errors
from fad.train import History


def program():
    def f(w, x):
        return fad.scan(lambda c, row: (fnp.tanh(c @ w + row), None), fnp.zeros(3), x)[0].sum() * 2.0

    return fad.make_program(f)(np.ones((3, 3)), np.ones((4, 3)))


def history():
    made = History()
    for step in range(1, 201):
        made.record(step, {"loss": 1.0 / step, "gradient_norm": 1.0})
        if step % 50 == 0:
            made.record(step, {"held out": 2.0 / step})
    return made


def test_loss_curves_smooth_what_is_long():
    axes = fad.viz.loss_curves(history(), log=True).axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["loss (mean of 4)", "held out"]
    assert axes.get_yscale() == "log"
    raw, smooth, held_out = axes.lines
    np.testing.assert_allclose(raw.get_ydata(), 1.0 / np.arange(1, 201))
    np.testing.assert_allclose(smooth.get_ydata()[10], np.mean(1.0 / np.arange(8, 12)))
    np.testing.assert_allclose(smooth.get_ydata()[1], 0.75)
    np.testing.assert_array_equal(held_out.get_xdata(), [50, 100, 150, 200])


def test_loss_curves_misuse():
    with pytest.raises(errors.ArgumentError, match=r"no metric \['los'\].*'loss'"):
        fad.viz.loss_curves(history(), names=["los"])
    with pytest.raises(errors.ArgumentError, match="empty"):
        fad.viz.loss_curves(History())


def test_gradient_histograms_count_everything():
    gradient = {"w": fnp.asarray([1e-8, 0.0, -2.0, np.inf]), "b": fnp.asarray([1 + 1j]), "n": fnp.zeros(0)}
    figure = fad.viz.gradient_histograms(gradient)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["b", "n", "w: 1 zero, 1 infinite"]
    assert [sum(patch.get_height() for patch in axes.patches) for axes in figure.axes] == [1, 0, 2]
    with pytest.raises(errors.ArgumentError, match="no arrays"):
        fad.viz.gradient_histograms({})


def test_layer_norms_of_one_tree_and_over_steps():
    bars = fad.viz.layer_norms({"w": np.array([3.0, 4.0]), "b": np.array([1.0])}).axes[0]
    assert [patch.get_width() for patch in bars.patches] == [1.0, 5.0]
    steps = [fad.optim.norms({"w": np.ones(4) * k, "b": np.ones(1)}) for k in (1, 2)]
    lines = fad.viz.layer_norms(steps).axes[0].lines
    np.testing.assert_allclose(lines[1].get_ydata(), [2.0, 4.0])
    with pytest.raises(errors.ArgumentError, match="different names"):
        fad.viz.layer_norms([{"a": 1.0}, {"b": 1.0}])


def test_figures_can_be_saved(tmp_path):
    fad.viz.loss_curves(history()).savefig(tmp_path / "loss.png")
    assert (tmp_path / "loss.png").stat().st_size > 1000


def test_mermaid_has_every_operation_and_the_loop_inside():
    text = fad.viz.mermaid(program())
    assert text.startswith("flowchart TD")
    for part in (
        "input 1<br/>float64[4,3]",
        "scan: program",
        "dot_general",
        "tanh<br/>float64[3]",
        "multiply (2)",
        "-.->",
    ):
        assert part in text
    assert text.count("subgraph") == text.count("\n  end") == 1


def test_graphviz_is_balanced_and_quoted():
    text = fad.viz.graphviz(program())
    assert text.count("{") == text.count("}")
    assert text.count('"') % 2 == 0
    assert "subgraph cluster_g0" in text
    assert "[style=dashed]" in text


SPACE = "{http://www.w3.org/2000/svg}"


def rectangles(picture):
    """The rectangles of a picture, and whether each is a frame around others."""
    root = ElementTree.fromstring(picture)
    found = [
        ([float(r.get(k)) for k in ("x", "y", "width", "height")], r.get("stroke-dasharray") is not None)
        for r in root.iter(f"{SPACE}rect")
    ]
    return root, found


def check_layout(picture):
    """Boxes do not overlap, frames contain or avoid them, and everything is inside the picture."""
    root, found = rectangles(picture)
    for k, ((x, y, w, h), frame) in enumerate(found):
        assert x >= 0
        assert y >= 0
        assert x + w <= float(root.get("width"))
        assert y + h <= float(root.get("height"))
        for (x2, y2, w2, h2), frame2 in found[:k]:
            apart = x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
            inside = frame2 and x2 <= x and x + w <= x2 + w2 and y2 <= y and y + h <= y2 + h2
            assert apart or inside or (frame and not frame2)
    return [t.text for t in root.iter(f"{SPACE}text")]


def test_svg_is_sound_and_boxes_do_not_overlap():
    texts = check_layout(fad.viz.svg(program()))
    assert "scan" in " ".join(texts)
    assert "scan: program" in texts


def recurrence(h, w, xs):
    def step(h, x):
        h = fnp.tanh(h @ w + x)
        return h, h.sum()

    h, sums = fad.scan(step, h, xs)
    return (fnp.linalg.svd(h, compute_uv=False) ** 2).sum() + sums.sum()


RECURRENCE = (np.ones((8, 40)), np.ones((40, 40)), np.ones((10, 8, 40)))


def test_kernels_are_boxes_of_statements_and_loops_are_frames():
    lowered = fad.jit(fad.grad(recurrence, argnums=1)).lower(*RECURRENCE)
    texts = check_layout(fad.viz.svg(lowered))
    statements = [line.split("  #")[0].strip() for line in lowered.as_text("kernels").splitlines()]
    products = [s for s in statements if " @ " in s]
    assert products
    for product in products:
        assert any(product == t.strip() for t in texts if t), product
    assert any(t.endswith("scan, 10 turns") for t in texts)
    assert any(t.startswith("Python: svd · ") for t in texts)
    for text in (fad.viz.mermaid(lowered), fad.viz.graphviz(lowered)):
        assert text.count("subgraph") == 2
        assert "classDef heat" in text or "#ff" in text


def test_colours_by_time_need_a_profile():
    profile = fad.debug.profile(recurrence, repeats=1)(*RECURRENCE)
    texts = check_layout(fad.viz.svg(profile))
    assert any("s (" in t and "%)" in t for t in texts if "product · " in t)
    assert any("iB (" in t for t in check_layout(fad.viz.svg(profile, by="bytes")) if "product · " in t)
    lowered = fad.jit(recurrence).lower(*RECURRENCE)
    assert fad.viz.svg(lowered.compile()) == fad.viz.svg(lowered)
    with pytest.raises(errors.ArgumentError, match="colours by time need a profile"):
        fad.viz.svg(lowered, by="time")
    with pytest.raises(errors.ArgumentError, match="'time' or 'bytes', got 'flops'"):
        fad.viz.mermaid(profile, by="flops")


def test_pictures_of_every_kind_of_step():
    def f(x, n):
        y = fad.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, fnp.sin(s[1]) * x), (0, x))[1]
        return fad.cond(y.sum() > 0, lambda: fad.scan(lambda c, a: (c * a, c), 1.0, y), lambda: (y[0] * 1.0, y - 1))

    check_layout(fad.viz.svg(fad.jit(f).lower(fnp.ones(30), 5)))
    check_layout(fad.viz.svg(fad.jit(lambda x: x).lower(1.0)))
    check_layout(fad.viz.svg(fad.make_program(f)(fnp.ones(30), 5)))


def test_a_model_is_drawn_by_its_parameters():
    params = {"layers": [{"w": fnp.ones((2, 3)), "b": fnp.zeros(3)}, {"w": fnp.ones((3, 1))}]}
    text = fad.viz.mermaid(params)
    assert text.count("-->") == 6
    assert "w<br/>float64[2,3]" in text
    assert ElementTree.fromstring(fad.viz.svg(params)).tag.endswith("svg")


@pytest.mark.parametrize("draw", [fad.viz.mermaid, fad.viz.graphviz, fad.viz.svg])
def test_a_function_is_not_a_program(draw):
    with pytest.raises(errors.ArgumentError, match="make_program"):
        draw(fnp.sin)


def test_a_missing_package_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(errors.MissingPackageError, match=r"matplotlib: pip install 'fad-autodiff\[viz\]'"):
        fad.viz.loss_curves(history())
    assert fad.viz.mermaid(program())
