"""A unit of one's own: a linear bottleneck as in MobileNet v2, to compare in the paper's frame.

shufflecost formula own_units:inverted --units-from own_units
shufflecost compare --units shufflenet,own_units:inverted --units-from own_units
"""

from flopcount.layers import Act, Branches, Chain, Conv, Identity, Layer, Norm
from shufflenet.units import Place

EXPANSION = 6


def inverted(place: Place) -> Layer:
    """An inverted residual: 1x1 up to six times the width, 3x3 depthwise, linear 1x1 down."""
    wide = EXPANSION * place.c_in
    body = Chain(
        (
            ("expand", Conv(place.c_in, wide)),
            ("expand_norm", Norm(wide)),
            ("expand_relu", Act("relu")),
            ("depthwise", Conv(wide, wide, 3, place.stride, 1, wide)),
            ("depthwise_norm", Norm(wide)),
            ("depthwise_relu", Act("relu")),
            ("project", Conv(wide, place.c_out)),
            ("project_norm", Norm(place.c_out)),
        )
    )
    if not place.plain:
        return body
    return Branches((("shortcut", Identity()), ("body", body)), "add")
