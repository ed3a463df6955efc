"""The picture of a roofline: what a machine can do, and the layers of a network beneath it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shufflenet.bench.layers.record import LayerRecord, LayerTime, by_kind, verdict
from shufflenet.bench.layers.roofline import Roof
from shufflenet.plots.figures import COLOURS, KIND_COLOURS, STYLE, axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (6.8, 5.0)
_MARKERS = "osD^vP*Xp<>hd"


def roofline_plot(record: LayerRecord, title: str) -> Figure:
    """Speed against intensity, both logarithmic: the roofs, and every layer that multiplies.

    Raises MissingPlotsError where matplotlib is not installed.
    """
    layers = [layer for layer in record.layers if layer.cost.macs]
    figure, axes = axes_of(title, _SIZE)
    import matplotlib

    with matplotlib.rc_context(STYLE):
        left, right = _span(layers, record.roof)
        axes.set_xscale("log")
        axes.set_yscale("log")
        _roofs(axes, record.roof, left, right)
        for number, kind in enumerate(dict.fromkeys(layer.cost.kind for layer in layers)):
            own = [layer for layer in layers if layer.cost.kind == kind]
            _points(axes, own, record.roof, number)
        axes.set_xlim(left, right)
        low = min((verdict(layer, record.roof).speed for layer in layers), default=record.roof.peak)
        axes.set_ylim(min(low, record.roof.peak) / 2e9, 2 * record.roof.peak / 1e9)
        _plain_ticks(axes)
        free = sum(float(kind.time_share) for kind in by_kind(record) if not kind.macs)
        axes.set_xlabel(
            "Arithmetic intensity [MAC/B]\n"
            f"Layers that multiply nothing have no place here: {free:.0%} of the time"
        )
        axes.set_ylabel("Speed [$10^9$ MAC/s]")
        axes.grid(which="major")
        if layers:
            figure.legend(frameon=False, loc="outside lower center", ncols=3)
    return figure


def _span(layers: Sequence[LayerTime], roof: Roof) -> tuple[float, float]:
    """From where to where intensities go, the corners of the roofs within."""
    corners = [roof.peak / roof.bandwidth, roof.peak / roof.cached]
    found = [layer.cost.macs / layer.cost.moved for layer in layers if layer.cost.moved]
    return min([*found, *corners]) / 2, max([*found, *corners]) * 2


def _roofs(axes: Axes, roof: Roof, left: float, right: float) -> None:
    peak = roof.peak / 1e9
    axes.plot([left, right], [peak, peak], color=COLOURS[0], linewidth=1.4)
    axes.annotate(
        f"peak: {peak:.1f} GMAC/s",
        (right, peak),
        xytext=(-2, 4),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=8,
    )
    for name, bandwidth, dashes in (("memory", roof.bandwidth, "-"), ("cache", roof.cached, "--")):
        gigabytes = bandwidth / 1e9
        corner = peak / gigabytes
        label = f"{name}: {gigabytes:.1f} GB/s"
        axes.plot(
            [left, corner],
            [left * gigabytes, peak],
            color=COLOURS[0],
            linewidth=1.2,
            linestyle=dashes,
            label=label,
        )


def _points(axes: Axes, layers: Sequence[LayerTime], roof: Roof, number: int) -> None:
    kind = layers[0].cost.kind
    axes.plot(
        [layer.cost.macs / layer.cost.moved for layer in layers],
        [verdict(layer, roof).speed / 1e9 for layer in layers],
        marker=_MARKERS[number % len(_MARKERS)],
        linestyle="none",
        color=KIND_COLOURS.get(kind, COLOURS[number % len(COLOURS)]),
        markeredgecolor="white",
        markeredgewidth=0.4,
        markersize=5.5,
        alpha=0.9,
        label=kind,
    )


def _plain_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.set_minor_formatter(NullFormatter())
