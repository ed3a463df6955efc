"""Pictures for a paper: error against cost, cost by row and kind, width against groups.

Every function returns a figure of matplotlib, which is imported when one is drawn. Colours are
those of Okabe and Ito, which the colour-blind tell apart; shapes differ as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from flopcount.conventions import Convention
from shufflenet.plot_points import ALONE, ErrorPoint, Part, WidthPoint, unit_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The endings of files that can be drawn.
ENDINGS = ("png", "svg", "pdf")
#: Okabe and Ito's colours: black, blue, vermillion, green, orange, sky blue, purple, yellow.
COLOURS = (
    *("#000000", "#0072B2", "#D55E00", "#009E73"),
    *("#E69F00", "#56B4E9", "#CC79A7", "#F0E442"),
)
# Wide enough for a page of two columns, with letters as large as its captions.
_SIZE = (6.4, 4.0)
_DPI = 200
_STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "svg.hashsalt": "shufflecost",
    # Letters stay letters, which can be searched and set in other type.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


class MissingPlotsError(ImportError):
    """matplotlib is not installed."""


class EndingError(ValueError):
    """The name of a file whose ending names no format of a picture."""


class _Look(NamedTuple):
    """How a family of models is drawn."""

    colour: str
    marker: str
    filled: bool = True


_FAMILIES = {
    "ShuffleNet": _Look(COLOURS[1], "o"),
    "ShuffleNet, arch2": _Look(COLOURS[5], "o"),
    "ShuffleNet, shallow": _Look(COLOURS[5], "v"),
    "without shuffle": _Look(COLOURS[1], "x"),
    "Xception-like": _Look(COLOURS[4], "D", filled=False),
    "ResNeXt": _Look(COLOURS[3], "s", filled=False),
    "ResNet": _Look(COLOURS[6], "^", filled=False),
    "VGG-like": _Look(COLOURS[0], "v", filled=False),
    "MobileNet": _Look(COLOURS[2], "s"),
    ALONE: _Look(COLOURS[0], "P"),
}


def ending(name: str) -> str:
    """The format that a file's name asks for. Raises EndingError for one that is not drawn."""
    found = name.rpartition(".")[2].lower() if "." in name else ""
    if found not in ENDINGS:
        raise EndingError(f"{name}: a picture ends in {', '.join(f'.{form}' for form in ENDINGS)}")
    return found


def drawn(figure: Figure, form: str) -> bytes:
    """A figure as the bytes of a file in a format; the same figure gives the same bytes."""
    import matplotlib

    # A date would make every run another file.
    undated: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    buffer = BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format=form, dpi=_DPI, metadata=undated.get(form))
    return buffer.getvalue()


def _axes(title: str, size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPlotsError(
            "a picture needs matplotlib: pip install 'shufflecost[plot]'"
        ) from error
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left")
    return figure, axes


def error_plot(points: Sequence[ErrorPoint]) -> Figure:
    """Reported error against cost, on a logarithmic axis, a marker for each model.

    Raises MissingPlotsError where matplotlib is not installed.
    """
    figure, axes = _axes("Models of the ShuffleNet paper (Tables 2 to 6)")
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        for family, look in _FAMILIES.items():
            own = [point for point in points if point.family == family]
            if not own:
                continue
            axes.plot(
                [point.macs / 1_000_000 for point in own],
                [float(point.error) for point in own],
                look.marker,
                color=look.colour,
                markerfacecolor=look.colour if look.filled else "none",
                # An edge keeps markers apart that lie upon each other; a cross is all edge.
                markeredgecolor="white" if look.filled and look.marker != "x" else look.colour,
                markeredgewidth=0.5 if look.filled and look.marker != "x" else 1.1,
                markersize=5.5,
                label=family if family != ALONE else "others",
            )
        axes.set_xscale("log")
        _plain_ticks(axes)
        axes.set_xlabel("Multiply-adds [$10^6$ MAC]")
        axes.set_ylabel("Top-1 error, as reported [%]")
        axes.grid()
        _name_those_alone(axes, [point for point in points if point.family == ALONE])
        if points:
            axes.legend(frameon=False, ncols=2)
    return figure


def _plain_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _name_those_alone(axes: Axes, alone: Sequence[ErrorPoint]) -> None:
    """Labels beside the markers; where two would meet, one stands above and one below."""
    ordered = sorted(alone, key=lambda point: (point.macs, point.error))
    for place, point in enumerate(ordered):
        below = any(_meet(other, point) for other in ordered[:place])
        above = any(_meet(other, point) for other in ordered[place + 1 :])
        shift = -11 if below else 7 if above else 0
        last = place == len(ordered) - 1 and not below
        axes.annotate(
            point.label,
            (point.macs / 1_000_000, float(point.error)),
            xytext=(-6 if last else 6, shift),
            textcoords="offset points",
            ha="right" if last else "left",
            va="center",
            fontsize=8,
        )


def _meet(one: ErrorPoint, other: ErrorPoint) -> bool:
    near_in_error = abs(one.error - other.error) < 2
    return near_in_error and max(one.macs, other.macs) < 3 * min(one.macs, other.macs)


def cost_plot(parts: Sequence[Part], title: str, convention: Convention) -> Figure:
    """The cost of a network, a bar for each row, stacked by kind of layer.

    Raises MissingPlotsError where matplotlib is not installed.
    """
    rows = list(dict.fromkeys(part.row for part in parts))
    kinds = list(dict.fromkeys(part.kind for part in parts))
    figure, axes = _axes(title, (_SIZE[0], 1.4 + 0.28 * max(len(rows), 4)))
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        left = [0.0] * len(rows)
        for kind, look in _bars(kinds).items():
            cost = {part.row: part.cost / 1_000_000 for part in parts if part.kind == kind}
            widths = [cost.get(row, 0.0) for row in rows]
            axes.barh(
                rows,
                widths,
                left=left,
                color=look.colour,
                hatch=look.hatch,
                edgecolor="white",
                linewidth=0.5,
                height=0.7,
                label=kind,
            )
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.invert_yaxis()
        axes.set_xlim(0, 1.05 * max(left, default=0) or 1)
        axes.set_xlabel(unit_axis(convention))
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        if kinds:
            figure.legend(frameon=False, loc="outside lower center", ncols=min(3, len(kinds)))
    return figure


# Kinds that every picture draws in the same colour; others take those that are left.
_KINDS = {
    "3x3 convolution": COLOURS[1],
    "1x1 convolution": COLOURS[2],
    "3x3 depthwise": COLOURS[3],
    "1x1 group convolution": COLOURS[4],
    "FC": COLOURS[5],
    "batch norm": COLOURS[6],
}


class _Bar(NamedTuple):
    """How a kind of layer is drawn: its colour, and a hatch where all colours are taken."""

    colour: str
    hatch: str | None = None


def _bars(kinds: Sequence[str]) -> dict[str, _Bar]:
    """A look of its own for every kind."""
    fixed = {kind: _Bar(_KINDS[kind]) for kind in kinds if kind in _KINDS}
    taken = {bar.colour for bar in fixed.values()}
    free = [_Bar(colour) for colour in (*COLOURS[1:], COLOURS[0]) if colour not in taken]
    hatches = ("///", "...", "xxx")
    free += [_Bar(colour, hatch) for hatch in hatches for colour in COLOURS[1:]]
    rest = iter(free)
    return {kind: fixed[kind] if kind in fixed else next(rest) for kind in kinds}


def width_plot(points: Sequence[WidthPoint], title: str, stages: Sequence[str]) -> Figure:
    """The widths that a budget allows against the number of groups, a line for each stage.

    Raises MissingPlotsError where matplotlib is not installed.
    """
    figure, axes = _axes(title)
    import matplotlib
    from matplotlib.ticker import FuncFormatter, NullLocator

    with matplotlib.rc_context(_STYLE):
        for place in range(len(stages)):
            axes.plot(
                [point.groups for point in points],
                [point.widths[place] for point in points],
                marker="osD^vP*X"[place % 8],
                color=COLOURS[1 + place % (len(COLOURS) - 1)],
                markersize=5,
                linewidth=1.2,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks([point.groups for point in points])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(bottom=0)
        axes.margins(x=0.12)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("Groups g")
        axes.set_ylabel("Output channels")
        axes.grid()
        _name_the_ends(axes, points[-1], stages)
    return figure


def _name_the_ends(axes: Axes, last: WidthPoint, stages: Sequence[str]) -> None:
    """The name of every line at its end, the names a line of text apart."""
    apart = 0.045 * axes.get_ylim()[1]
    at = float("-inf")
    for width, stage in sorted(zip(last.widths, stages, strict=True)):
        at = max(float(width), at + apart)
        axes.annotate(
            stage,
            (last.groups, at),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
