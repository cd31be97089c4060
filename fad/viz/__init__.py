"""Pictures of training and of Programs: loss curves, histograms of gradients, norms by layer; graphs as Mermaid, Graphviz and SVG.

The graphs need nothing, the plots need matplotlib (``pip install 'fad-autodiff[viz]'``).
"""

from fad.viz.curves import gradient_histograms, layer_norms, loss_curves
from fad.viz.graphs import graphviz, mermaid, svg

__all__ = ["gradient_histograms", "graphviz", "layer_norms", "loss_curves", "mermaid", "svg"]
