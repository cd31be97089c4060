"""A layered drawing of a directed graph with nested frames as SVG.

Layers by longest path, edges over several layers through points of their own, order within a layer by the mean place of the neighbours (Sugiyama,
Tagawa and Toda, IEEE Trans. SMC 11, 1981). A frame is arranged first, and is then one box of the frame around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

__all__ = ["Box", "Frame", "drawing"]

_CHARACTER, _FIXED, _LINE, _GAP, _LEVEL, _MARGIN = 6.2, 6.7, 14.0, 22.0, 34.0, 14.0
_SWEEPS = 6
Edge = tuple[str, str, bool]
Point = tuple[float, float]


@dataclass
class Box:
    """Lines of text on a colour, the first one in bold; its centre is found by :func:`drawing`.

    Attributes
    ----------
    frame : str
        The frame that it stands in; empty for the picture itself.
    code : bool
        Whether all lines but the first are code, from the left and in a font of fixed width.
    """

    lines: list[str]
    colour: str
    frame: str = ""
    code: bool = False
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        """Wide enough for the longest line."""
        fixed = _FIXED if self.code else _CHARACTER
        rest = max([len(line) for line in self.lines[1:]], default=0) * fixed
        return max(len(self.lines[0]) * _CHARACTER * 1.08, rest) + 18.0

    @property
    def height(self) -> float:
        """High enough for all lines."""
        return len(self.lines) * _LINE + 10.0


@dataclass
class Frame:
    """A rectangle with a title around boxes and other frames."""

    title: str
    colour: str = "#f8fafc"
    frame: str = ""
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0


@dataclass
class _Level:
    """What stands directly in one frame: sizes, edges between them, places, and the points that long edges go through."""

    sizes: dict[str, tuple[float, float]] = field(default_factory=dict)
    edges: dict[tuple[str, str], list[Point]] = field(default_factory=dict)
    places: dict[str, Point] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0


def _around(name: str, boxes: dict[str, Box], frames: dict[str, Frame]) -> list[str]:
    """A box or frame and the frames around it, from the outside; the picture itself is the empty name."""
    path = [name]
    while path[0]:
        path.insert(0, boxes[path[0]].frame if path[0] in boxes else frames[path[0]].frame)
    return path


def _lifted(a: str, b: str, boxes: dict[str, Box], frames: dict[str, Frame]) -> tuple[str, str, str]:
    """The innermost frame around both ends, and what stands directly in it at either end."""
    first, second = _around(a, boxes, frames), _around(b, boxes, frames)
    common = 0
    while common + 1 < min(len(first), len(second)) and first[common + 1] == second[common + 1]:
        common += 1
    return first[common], first[min(common + 1, len(first) - 1)], second[min(common + 1, len(second) - 1)]


def _arrange(level: _Level) -> None:
    """Places from the upper left corner of the level, and its size."""
    numbers = {name: k for k, name in enumerate(level.sizes)}
    edges = [(a, b) for a, b in level.edges if numbers[a] < numbers[b]]
    depth = dict.fromkeys(level.sizes, 0)
    for a, b in sorted(edges, key=lambda edge: numbers[edge[0]]):
        depth[b] = max(depth[b], depth[a] + 1)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name, number in depth.items():
        layers[number].append(name)
    sizes = dict(level.sizes)
    chains: dict[tuple[str, str], list[str]] = {}
    links: list[tuple[str, str]] = []
    for a, b in edges:
        chain = [f"{a}>{b}:{number}" for number in range(depth[a] + 1, depth[b])]
        for number, point in enumerate(chain, depth[a] + 1):
            layers[number].append(point)
            sizes[point] = (6.0, 0.0)
        chains[a, b] = chain
        links += list(zip([a, *chain], [*chain, b], strict=True))
    columns = _columns(layers, links, sizes)
    left = min([columns[n] - sizes[n][0] / 2 for n in sizes], default=0.0)
    spans: dict[str, tuple[Point, Point]] = {}
    y = 0.0
    for layer in layers:
        height = max(sizes[name][1] for name in layer)
        level.places.update({name: (columns[name] - left, y + height / 2) for name in layer})
        # An edge passes a layer straight down, beside what is high there.
        spans.update({name: ((columns[name] - left, y), (columns[name] - left, y + height)) for name in layer})
        y += height + _LEVEL
    level.width = max([x + sizes[n][0] / 2 for n, (x, _) in level.places.items()], default=0.0)
    level.height = max(y - _LEVEL, 0.0)
    level.edges.update({edge: [point for p in chain for point in spans[p]] for edge, chain in chains.items()})


def _columns(
    layers: list[list[str]], links: Sequence[tuple[str, str]], sizes: dict[str, tuple[float, float]]
) -> dict[str, float]:
    """Where each thing stands from left to right: near what it is linked with, in an order with few crossings."""
    above: dict[str, list[str]] = {name: [] for layer in layers for name in layer}
    below: dict[str, list[str]] = {name: [] for layer in layers for name in layer}
    for a, b in links:
        above[b].append(a)
        below[a].append(b)
    columns: dict[str, float] = {}
    for layer in layers:
        _place_layer(layer, dict.fromkeys(layer, 0.0), sizes, columns)
    for sweep in range(_SWEEPS):
        near, order = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        for layer in order:
            wanted = {n: sum(columns[m] for m in near[n]) / len(near[n]) if near[n] else columns[n] for n in layer}
            layer.sort(key=wanted.__getitem__)
            _place_layer(layer, wanted, sizes, columns)
    return columns


def _place_layer(
    layer: Sequence[str],
    wanted: dict[str, float],
    sizes: dict[str, tuple[float, float]],
    columns: dict[str, float],
) -> None:
    """Put a layer's members near their wanted columns, in their order and without overlaps: neighbours that collide form a block around its mean."""
    blocks: list[tuple[list[str], float, float]] = []  # members, left edge, width
    for name in layer:
        width = sizes[name][0]
        blocks.append(([name], wanted[name] - width / 2, width))
        while len(blocks) > 1 and blocks[-2][1] + blocks[-2][2] + _GAP > blocks[-1][1]:
            (first, a, v), (second, b, w) = blocks[-2:]
            total = v + _GAP + w
            left = (a * len(first) + (b - v - _GAP) * len(second)) / (len(first) + len(second))
            blocks[-2:] = [(first + second, left, total)]
    for members, left, _ in blocks:
        for name in members:
            columns[name] = left + sizes[name][0] / 2
            left += sizes[name][0] + _GAP


def _levels(boxes: dict[str, Box], edges: Sequence[Edge], frames: dict[str, Frame]) -> dict[str, _Level]:
    """Every frame arranged, the innermost first."""
    levels = {name: _Level() for name in ["", *frames]}
    lifted = [_lifted(a, b, boxes, frames) for a, b, _ in edges]
    first = {name: k for k, name in enumerate(boxes)}
    starts = {f: min([first[b] for b in boxes if f in _around(b, boxes, frames)], default=0) for f in frames}
    depth = {name: len(_around(name, boxes, frames)) for name in frames}
    for name in [*sorted(frames, key=lambda f: -depth[f]), ""]:
        level = levels[name]
        inside = [(first[b], 1, b) for b, box in boxes.items() if box.frame == name]
        inside += [(starts[f], 0, f) for f, frame in frames.items() if frame.frame == name]
        for _, is_box, member in sorted(inside):
            thing = boxes[member] if is_box else frames[member]
            level.sizes[member] = (thing.width, thing.height)
        level.edges = {(a, b): [] for frame, a, b in lifted if frame == name and a != b}
        _arrange(level)
        if name:
            frames[name].width = max(level.width, len(frames[name].title) * _CHARACTER * 1.08) + 2 * _MARGIN
            frames[name].height = level.height + 2 * _MARGIN + _LINE
    return levels


def _settle(
    name: str, x: float, y: float, levels: dict[str, _Level], boxes: dict[str, Box], frames: dict[str, Frame]
) -> None:
    """Turn places inside a frame, whose upper left corner is given, into places in the picture."""
    for member in levels[name].sizes:
        cx, cy = levels[name].places[member]
        thing = boxes[member] if member in boxes else frames[member]
        thing.x, thing.y = x + cx, y + cy
        if member in frames:
            frame = frames[member]
            inner = levels[member].width
            left, top = frame.x - inner / 2, frame.y - frame.height / 2 + _MARGIN + _LINE
            _settle(member, left, top, levels, boxes, frames)
    levels[name].edges = {e: [(x + a, y + b) for a, b in points] for e, points in levels[name].edges.items()}


def drawing(boxes: dict[str, Box], edges: Sequence[Edge], frames: dict[str, Frame] | None = None) -> str:
    """The SVG text of boxes, frames around them, and arrows; boxes come in an order in which arrows go forward."""
    frames = frames or {}
    levels = _levels(boxes, edges, frames)
    _settle("", _MARGIN, _MARGIN, levels, boxes, frames)
    width, height = levels[""].width + 2 * _MARGIN, levels[""].height + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="11">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#64748b"/></marker></defs>',
        f'<path d="M0 0H{width:.0f}V{height:.0f}H0z" fill="#ffffff"/>',
    ]
    parts += [_frame_svg(frames[name]) for name in sorted(frames, key=lambda f: len(_around(f, boxes, frames)))]
    for a, b, dashed in edges:
        level, start, end = _lifted(a, b, boxes, frames)
        parts.append(_edge_svg(boxes[a], boxes[b], levels[level].edges.get((start, end), []), dashed))
    parts += [_box_svg(box) for box in boxes.values()]
    return "\n".join([*parts, "</svg>"])


def _frame_svg(frame: Frame) -> str:
    left, top = frame.x - frame.width / 2, frame.y - frame.height / 2
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{frame.width:.1f}" height="{frame.height:.1f}" rx="8" fill="{frame.colour}" '
        f'stroke="#94a3b8" stroke-dasharray="5 3"/>\n<text x="{left + _MARGIN:.1f}" y="{top + 16:.1f}" font-weight="bold" fill="#475569">'
        f"{escape(frame.title)}</text>"
    )


def _edge_svg(start: Box, end: Box, points: Sequence[Point], dashed: bool) -> str:
    """A smooth line from the bottom of a box through some points to the top of another one."""
    x, y = start.x, start.y + start.height / 2
    path = f"M{x:.1f} {y:.1f}"
    for px, py in [*points, (end.x, end.y - end.height / 2)]:
        bend = (py - y) / 2
        path += f"C{x:.1f} {y + bend:.1f} {px:.1f} {py - bend:.1f} {px:.1f} {py:.1f}"
        x, y = px, py
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<path d="{path}" fill="none" stroke="#64748b"{dash} marker-end="url(#tip)"/>'


def _box_svg(box: Box) -> str:
    left, top = box.x - box.width / 2, box.y - box.height / 2
    parts = [
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="5" fill="{box.colour}" stroke="#475569"/>'
    ]
    for k, line in enumerate(box.lines):
        style = ' font-weight="bold" fill="#0f172a"' if k == 0 else ' fill="#334155"'
        anchor = f'x="{box.x:.1f}" text-anchor="middle"'
        if box.code:
            anchor = f'x="{left + 9:.1f}"'
            style += ' font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" xml:space="preserve"' if k else ""
        parts.append(f'<text {anchor} y="{top + 16 + _LINE * k:.1f}"{style}>{escape(line)}</text>')
    return "\n".join(parts)
