"""A layered drawing of a directed graph without cycles as SVG.

Layers by longest path, order within a layer by the mean place of the predecessors (Sugiyama, Tagawa and Toda, IEEE Trans. SMC 11, 1981).
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

__all__ = ["Box", "drawing"]

_CHARACTER, _LINE, _GAP, _LEVEL = 6.6, 14.0, 18.0, 34.0
Edge = tuple[str, str, bool]


@dataclass
class Box:
    """Lines of text on a colour; its place is found by :func:`drawing`."""

    lines: list[str]
    colour: str
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        """Wide enough for the longest line."""
        return max(len(line) for line in self.lines) * _CHARACTER + 16.0

    @property
    def height(self) -> float:
        """High enough for all lines."""
        return len(self.lines) * _LINE + 10.0


def _layers(boxes: dict[str, Box], edges: list[Edge]) -> list[list[str]]:
    """Names by layer; the boxes' order is a topological order of the edges, as it was made so."""
    depth = dict.fromkeys(boxes, 0)
    before: dict[str, list[str]] = {name: [] for name in boxes}
    for a, b, _ in edges:
        before[b].append(a)
    for name in boxes:
        if before[name]:
            depth[name] = 1 + max(depth[a] for a in before[name])
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name, level in depth.items():
        layers[level].append(name)
    place: dict[str, float] = {}
    for layer in layers:
        wanted = {
            name: sum(place[a] for a in before[name]) / len(before[name]) if before[name] else float(k)
            for k, name in enumerate(layer)
        }
        layer.sort(key=wanted.__getitem__)
        place.update({name: k - (len(layer) - 1) / 2 for k, name in enumerate(layer)})
    return layers


def _place(boxes: dict[str, Box], layers: list[list[str]]) -> tuple[float, float]:
    """Set every box's centre; gives the size of the picture."""
    widths = [sum(boxes[n].width for n in layer) + _GAP * (len(layer) - 1) for layer in layers]
    total, y = max(widths, default=0.0) + 2 * _GAP, _GAP
    for layer, width in zip(layers, widths, strict=True):
        x, height = (total - width) / 2, max(boxes[n].height for n in layer)
        for name in layer:
            box = boxes[name]
            box.x, box.y = x + box.width / 2, y + height / 2
            x += box.width + _GAP
        y += height + _LEVEL
    return total, y - _LEVEL + _GAP


def drawing(boxes: dict[str, Box], edges: list[Edge]) -> str:
    """The SVG text of boxes and arrows."""
    width, height = _place(boxes, _layers(boxes, edges))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="sans-serif" font-size="11">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
    ]
    for a, b, dashed in edges:
        start, end = boxes[a], boxes[b]
        y0, y1 = start.y + start.height / 2, end.y - end.height / 2
        bend = (y1 - y0) / 2
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        parts.append(
            f'<path d="M{start.x:.1f} {y0:.1f}C{start.x:.1f} {y0 + bend:.1f} {end.x:.1f} {y1 - bend:.1f} {end.x:.1f} {y1:.1f}" '
            f'fill="none" stroke="#555"{dash} marker-end="url(#tip)"/>'
        )
    for box in boxes.values():
        left, top = box.x - box.width / 2, box.y - box.height / 2
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="5" fill="{box.colour}" stroke="#555"/>'
        )
        for k, line in enumerate(box.lines):
            weight = ' font-weight="bold"' if k == 0 else ' fill="#555"'
            parts.append(
                f'<text x="{box.x:.1f}" y="{top + 16 + _LINE * k:.1f}" text-anchor="middle"{weight}>{escape(line)}</text>'
            )
    return "\n".join([*parts, "</svg>"])
