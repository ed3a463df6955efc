"""Pictures for a paper: error against cost, cost by row and kind, width against groups.

Every function returns a figure of matplotlib, which is imported when one is drawn. Colours are
those of Okabe and Ito, which the colour-blind tell apart; markers differ as well,
for print in grey.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from flopcount.conventions import Convention
from flopcount.conventions import convention as named
from shufflenet.plots.points import ALONE, COUNTED, ErrorPoint, KindShare, WidthPoint, unit_axis

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
# From one line of small type to the next [pt].
_LINE = 10.5
#: How every picture is set.
STYLE: Any = {
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
    """The name of a file that is all ending, or whose ending names no format of a picture."""


class _Look(NamedTuple):
    """How a family of models is drawn; ``size`` evens out how large the markers look [pt]."""

    colour: str
    marker: str
    size: float = 4.5


# A marker for each family; all can be hollow, which says that a cost is the printed one.
_FAMILIES = {
    "ShuffleNet": _Look(COLOURS[1], "o"),
    "ShuffleNet, arch2": _Look(COLOURS[5], "^"),
    "ShuffleNet, shallow": _Look(COLOURS[5], "p", 5.5),
    "without shuffle": _Look(COLOURS[1], "X", 5.0),
    "Xception-like": _Look(COLOURS[4], "D", 4.0),
    "ResNeXt": _Look(COLOURS[3], "s", 4.0),
    "ResNet": _Look(COLOURS[6], "v"),
    "VGG-like": _Look(COLOURS[0], "<"),
    "MobileNet": _Look(COLOURS[2], "*", 7.5),
    ALONE: _Look(COLOURS[0], "P", 5.0),
}
# Where most of the paper's models meet: [10^6 MAC], [%]. From that many on they are drawn apart.
_CROWD = (35, 44), (42, 50)
_MANY = 10
_HOLLOW = "hollow: printed cost, as our network is not the paper's"


def ending(name: str) -> str:
    """The format that a file's name asks for. Raises EndingError for one that is not drawn."""
    stem, dot, last = os.path.basename(name).rpartition(".")
    found = last.lower() if dot else ""
    if found not in ENDINGS:
        raise EndingError(f"{name}: a picture ends in {', '.join(f'.{form}' for form in ENDINGS)}")
    if not stem:
        raise EndingError(f"{name}: an ending without a name: {found}{dot}{found} has one")
    return found


def drawn(figure: Figure, form: str) -> bytes:
    """A figure as the bytes of a file in a format; the same figure gives the same bytes."""
    import matplotlib

    # A date would make every run another file.
    undated: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    buffer = BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=form, dpi=_DPI, metadata=undated.get(form))
    return buffer.getvalue()


def axes_of(title: str, size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    """An empty figure under a title. Raises MissingPlotsError where matplotlib is not installed."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPlotsError(
            "a picture needs matplotlib: pip install 'shufflecost[plot]'"
        ) from error
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", parse_math=False)
    return figure, axes


def error_plot(points: Sequence[ErrorPoint]) -> Figure:
    """Reported error against cost, on a logarithmic axis, a marker for each family of models.

    Hollow markers stand at printed costs. Raises MissingPlotsError where matplotlib is not
    installed.
    """
    figure, axes = axes_of("Models of the ShuffleNet paper (Tables 2 to 6)", (6.8, 5.4))
    import matplotlib

    with matplotlib.rc_context(STYLE):
        _mark_all(axes, points)
        axes.set_xscale("log")
        _plain_ticks(axes)
        axes.set_xlabel(_axis(named(COUNTED)))
        axes.set_ylabel("Top-1 error, as reported [%]")
        axes.grid()
        _name_those_alone(axes, [point for point in points if point.family == ALONE])
        _enlarge(axes, points)
        _explain(figure, points)
    return figure


def _mark_all(axes: Axes, points: Sequence[ErrorPoint]) -> None:
    for family in _FAMILIES:
        own = [point for point in points if point.family == family]
        for printed in (False, True):
            _mark(axes, family, [point for point in own if point.printed == printed])


def _enlarge(axes: Axes, points: Sequence[ErrorPoint]) -> None:
    """The crowd at 40 million again, where the picture is empty."""
    (left, right), (low, high) = _CROWD
    crowd = [p for p in points if left < p.macs / 1e6 < right and low < p.error < high]
    if len(crowd) < _MANY:
        return
    inset = axes.inset_axes((0.46, 0.56, 0.53, 0.42))
    _mark_all(inset, crowd)
    inset.set_xlim(left, right)
    inset.set_ylim(low, high)
    inset.tick_params(labelsize=7)
    inset.grid()
    inset.spines[:].set_visible(True)
    inset.spines[:].set_color("#999999")
    axes.indicate_inset_zoom(inset, edgecolor="#999999")


def _mark(axes: Axes, family: str, points: Sequence[ErrorPoint]) -> None:
    """The markers of models of one family that are all filled, or all hollow."""
    if points:
        axes.plot(
            [point.macs / 1_000_000 for point in points],
            [float(point.error) for point in points],
            label=family if family != ALONE else "others",
            **_marker(_FAMILIES[family], points[0].printed),
        )


def _marker(look: _Look, hollow: bool) -> dict[str, Any]:
    return {
        "marker": look.marker,
        "linestyle": "none",
        "color": look.colour,
        "markerfacecolor": "none" if hollow else look.colour,
        # An edge keeps markers apart that lie upon each other.
        "markeredgecolor": look.colour if hollow else "white",
        "markeredgewidth": 1.1 if hollow else 0.4,
        "markersize": look.size,
    }


def _explain(figure: Figure, points: Sequence[ErrorPoint]) -> None:
    """The legend: every family once, and what a hollow marker says where there is one."""
    from matplotlib.lines import Line2D

    (axes,) = figure.axes
    handles, names = axes.get_legend_handles_labels()
    first = {name: handle for handle, name in reversed([*zip(handles, names, strict=True)])}
    shown = {name: first[name] for name in dict.fromkeys(names)}
    if any(point.printed for point in points):
        shown[_HOLLOW] = Line2D([], [], **_marker(_Look("#666666", "o"), hollow=True))
    if shown:
        figure.legend(
            [*shown.values()], [*shown], loc="outside lower center", ncols=3, frameon=False
        )


def _axis(convention: Convention) -> str:
    """The name of an axis of costs; below it, what the convention counts."""
    says = textwrap.fill(convention.says, 72).replace("$", r"\$")
    return f"{unit_axis(convention)}\n{says}"


def _plain_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
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


def cost_plot(parts: Sequence[KindShare], title: str, convention: Convention) -> Figure:
    """The cost of a network, a bar for each row, stacked by kind of layer.

    Raises MissingPlotsError where matplotlib is not installed.
    """
    rows = list(dict.fromkeys(part.row for part in parts))
    kinds = list(dict.fromkeys(part.kind for part in parts))
    figure, axes = axes_of(title, (_SIZE[0], 1.6 + 0.28 * max(len(rows), 4)))
    import matplotlib
    from matplotlib.ticker import FuncFormatter

    with matplotlib.rc_context(STYLE):
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
        axes.set_xlabel(_axis(convention))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        if kinds:
            figure.legend(frameon=False, loc="outside lower center", ncols=min(3, len(kinds)))
    return figure


#: Kinds that every picture draws in the same colour; others take those that are left.
KIND_COLOURS = {
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
    fixed = {kind: _Bar(KIND_COLOURS[kind]) for kind in kinds if kind in KIND_COLOURS}
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
    figure, axes = axes_of(title)
    import matplotlib
    from matplotlib.ticker import FuncFormatter, NullLocator

    with matplotlib.rc_context(STYLE):
        for place in range(len(stages)):
            axes.plot(
                [point.groups for point in points],
                [point.widths[place] for point in points],
                marker="osD^vP*X"[place % 8],
                color=COLOURS[1 + place % (len(COLOURS) - 1)],
                # Later lines are thinner and smaller, so that earlier ones are seen below them.
                markersize=max(7 - place, 4),
                linewidth=max(2.0 - 0.4 * place, 0.8),
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks([point.groups for point in points])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        # Headroom, as the names of lines that are close climb above the last of them.
        top = max((width for point in points for width in point.widths), default=1)
        axes.set_ylim(0, 1.15 * top)
        axes.margins(x=0.12)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("Groups g")
        axes.set_ylabel("Output channels")
        axes.grid()
        _name_the_ends(axes, points, stages)
    return figure


def _name_the_ends(axes: Axes, points: Sequence[WidthPoint], stages: Sequence[str]) -> None:
    """The name of every line at its end, a line of text apart; lines that coincide share one."""
    lines: dict[tuple[int, ...], list[str]] = {}
    for place, stage in enumerate(stages):
        lines.setdefault(tuple(point.widths[place] for point in points), []).append(stage)
    # Points of type for each channel: the axes take up most of the figure's height.
    scale = 0.8 * _SIZE[1] * 72 / axes.get_ylim()[1]
    at = float("-inf")
    for widths, names in sorted(lines.items(), key=lambda line: line[0][-1]):
        at = max(widths[-1] * scale, at + _LINE)
        # The point stays where the line ends: one outside the axes would not be named at all.
        axes.annotate(
            ", ".join(names),
            (points[-1].groups, widths[-1]),
            xytext=(7, at - widths[-1] * scale),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
