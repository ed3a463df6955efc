"""The shape rules against what torch makes of real tensors, and against plain sums over places."""

from __future__ import annotations

from itertools import product as places
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from flopcount.counters import operators
from flopcount.counters.operators import ShapeError

SMALL = settings(deadline=None, max_examples=40)
RANKS = pytest.mark.parametrize("axes", [1, 2, 3])

sizes = st.integers(1, 4)
shapes = st.lists(st.integers(1, 3), max_size=3).map(tuple)


def made(*shape: int) -> torch.Tensor:
    return torch.zeros(shape)


def each(draw: Any, axes: int, least: int, most: int) -> int | tuple[int, ...]:
    """One number for all axes, or one for each of them."""
    number = st.integers(least, most)
    return draw(st.one_of(number, st.tuples(*[number] * axes)))


def spread(value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else value


@st.composite
def convolutions(draw: Any, axes: int) -> tuple[Any, Any, dict[str, Any]]:
    """The shapes of an input and of a weight, and options under which every window fits."""
    groups, per_group, filters = draw(sizes), draw(sizes), draw(sizes)
    kernel = draw(st.tuples(*[st.integers(1, 3)] * axes))
    dilation = each(draw, axes, 1, 3)
    options = {"stride": each(draw, axes, 1, 3), "dilation": dilation, "groups": groups}
    options["padding"] = each(draw, axes, 0, 2)
    reach = [e * (k - 1) + 1 for e, k in zip(spread(dilation, axes), kernel, strict=True)]
    more = draw(st.tuples(*[st.integers(0, 4)] * axes))
    image = [
        max(1, r - 2 * p) for r, p in zip(reach, spread(options["padding"], axes), strict=True)
    ]
    image = [size + extra for size, extra in zip(image, more, strict=True)]
    batch = draw(st.sampled_from([(), (1,), (2,), (0,)]))
    x = (*batch, groups * per_group, *image)
    return x, (groups * filters, per_group, *kernel), options


@RANKS
@given(data=st.data())
@SMALL
def test_a_convolution_comes_out_as_torch_makes_it_and_sums_a_filter_for_each_output(axes, data):
    x, weight, options = data.draw(convolutions(axes))
    run = getattr(functional, f"conv{axes}d")
    out = tuple(run(made(*x), made(*weight), None, **options).shape)
    del options["groups"]
    assert operators.conv(x, weight, **options) == (out, prod(out) * prod(weight[1:]))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@RANKS
@given(data=st.data())
@SMALL
def test_a_same_padding_keeps_every_size_whatever_kernel_and_dilation(axes, data):
    x, weight, options = data.draw(convolutions(axes))
    options = {**options, "padding": "same", "stride": 1}
    out = getattr(functional, f"conv{axes}d")(made(*x), made(*weight), None, **options)
    assert tuple(out.shape[-axes:]) == x[-axes:]
    found = operators.conv(x, weight, 1, "same", options["dilation"])
    assert found == (tuple(out.shape), out.numel() * prod(weight[1:]))


@RANKS
def test_a_valid_padding_is_none(axes):
    x, weight = (2, 4, *(7, 8, 9)[:axes]), (6, 2, *(3, 2, 1)[:axes])
    assert operators.conv(x, weight, 2, "valid", 1) == operators.conv(x, weight, 2, 0, 1)


@RANKS
@given(data=st.data())
@SMALL
def test_a_transposed_convolution_comes_out_as_torch_makes_it_and_spreads_every_input(axes, data):
    # the convolution that it undoes goes from the outputs' side: its weight is the same
    groups, per_group, filters = (data.draw(sizes) for _ in range(3))
    kernel = data.draw(st.tuples(*[st.integers(1, 3)] * axes))
    stride, dilation = each(data.draw, axes, 1, 3), each(data.draw, axes, 1, 3)
    largest = [max(t, e) for t, e in zip(spread(stride, axes), spread(dilation, axes), strict=True)]
    over = tuple(data.draw(st.integers(0, most - 1)) for most in largest)
    image = data.draw(st.tuples(*[st.integers(2, 4)] * axes))
    padding = each(data.draw, axes, 0, 1)
    full = [
        (s - 1) * t + e * (k - 1) + o + 1 - 2 * p
        for s, t, e, k, o, p in zip(
            image,
            spread(stride, axes),
            spread(dilation, axes),
            kernel,
            over,
            spread(padding, axes),
            strict=True,
        )
    ]
    assume(min(full) >= 1)
    batch = data.draw(st.sampled_from([(), (1,), (2,)]))
    x, weight = (*batch, groups * per_group, *image), (groups * per_group, filters, *kernel)
    options = {"stride": stride, "padding": padding, "output_padding": over, "groups": groups}
    options["dilation"] = dilation
    out = getattr(functional, f"conv_transpose{axes}d")(made(*x), made(*weight), None, **options)
    found = operators.conv_transpose(x, weight, **options)
    assert found == (tuple(out.shape), prod(x) * filters * prod(kernel))


@given(st.data())
@SMALL
def test_a_transposed_convolution_costs_what_the_convolution_costs_that_it_undoes(data):
    groups, per_group, filters = (data.draw(sizes) for _ in range(3))
    kernel, stride, positions = (data.draw(st.integers(1, 4)) for _ in range(3))
    # without padding, that convolution leaves nothing over
    image = (positions - 1) * stride + kernel
    weight = (groups * filters, per_group, kernel)
    forth = operators.conv((2, groups * per_group, image), weight, stride)
    back = operators.conv_transpose(forth.out, weight, stride, groups=groups)
    assert back == ((2, groups * per_group, image), forth.macs)


@given(shapes, sizes, sizes)
@SMALL
def test_a_linear_map_takes_any_rank_and_costs_a_row_for_each_output(rows, inputs, outputs):
    x, weight = (*rows, inputs), (outputs, inputs)
    out = tuple(functional.linear(made(*x), made(*weight)).shape)
    assert operators.linear(x, weight) == (out, prod(rows) * outputs * inputs)


def test_a_linear_map_to_one_feature_may_have_a_vector_of_weights():
    out = tuple(functional.linear(made(2, 3, 5), made(5)).shape)
    assert operators.linear((2, 3, 5), (5,)) == (out, 2 * 3 * 5)


@st.composite
def alike(draw: Any, most: int = 3) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that can be brought together."""
    whole = draw(st.lists(st.integers(1, 3), max_size=most).map(tuple))

    def part() -> tuple[int, ...]:
        held = whole[draw(st.integers(0, len(whole))) :]
        return tuple(draw(st.sampled_from([1, size])) for size in held)

    return part(), part()


@given(alike())
@SMALL
def test_two_tensors_come_together_as_torch_brings_them(pair):
    a, b = pair
    out = tuple((made(*a) + made(*b)).shape)
    assert operators.broadcast(a, b) == operators.broadcast(b, a) == out


@given(alike(), sizes, sizes, sizes, st.booleans(), st.booleans())
@SMALL
def test_a_product_comes_out_as_torch_makes_it_and_sums_over_what_is_shared(
    pair, i, k, j, left, right
):
    a = (k,) if left else (*pair[0], i, k)
    b = (k,) if right else (*pair[1], k, j)
    out = tuple(torch.matmul(made(*a), made(*b)).shape)
    assert operators.matmul(a, b) == (out, prod(out) * k)


@given(st.data(), shapes, sizes, sizes, sizes, sizes)
@SMALL
def test_attention_comes_out_as_torch_makes_it_and_is_two_products(data, batch, t, s, e, f):
    q, k, v = (*batch, t, e), (*batch, s, e), (*batch, s, f)
    out = tuple(functional.scaled_dot_product_attention(made(*q), made(*k), made(*v)).shape)
    scores, values = prod(batch) * t * s * e, prod(batch) * t * f * s
    assert operators.attention(q, k, v) == (out, scores + values)


@given(sizes, sizes, sizes, sizes, sizes, sizes, sizes)
@SMALL
def test_shared_heads_of_keys_cost_as_many_products_as_there_are_heads_of_queries(
    n, groups, heads, t, s, e, f
):
    q, k, v = (n, groups * heads, t, e), (n, heads, s, e), (n, heads, s, f)
    inputs = (made(*q), made(*k), made(*v))
    out = functional.scaled_dot_product_attention(*inputs, enable_gqa=True)
    macs = n * groups * heads * (t * s * e + t * s * f)
    assert operators.attention(q, k, v) == (tuple(out.shape), macs)


@given(shapes, sizes, sizes, sizes)
@SMALL
def test_a_bilinear_map_contracts_with_its_weight_and_then_with_the_second_input(rows, i, j, o):
    x, y, weight = (*rows, i), (*rows, j), (o, i, j)
    out = functional.bilinear(made(*x), made(*y), made(*weight))
    assert operators.bilinear(x, y, weight) == (tuple(out.shape), prod(rows) * o * (i * j + j))


@st.composite
def poolings(draw: Any, axes: int) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The shape of an input, and options that torch allows for it."""
    kernel = draw(st.tuples(*[st.integers(1, 3)] * axes))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    dilation = draw(st.tuples(*[st.integers(1, 3)] * axes))
    along = zip(kernel, padding, dilation, strict=True)
    image = [max(1, e * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 5)) for k, p, e in along]
    batch = draw(st.sampled_from([(), (1,), (2,)]))
    options = {"kernel_size": kernel, "stride": draw(st.tuples(*[st.integers(1, 4)] * axes))}
    options |= {"padding": padding, "dilation": dilation, "ceil_mode": draw(st.booleans())}
    return (*batch, draw(sizes), *image), options


def under(size: int, count: int, k: int, t: int, p: int, e: int) -> int:
    """The taps that lie on the image, over all positions along one axis."""
    return sum(0 <= at * t - p + tap * e < size for at in range(count) for tap in range(k))


@RANKS
@given(data=st.data())
@SMALL
def test_a_pooling_comes_out_as_torch_makes_it_and_sees_what_lies_on_the_image(axes, data):
    x, options = data.draw(poolings(axes))
    out = tuple(getattr(functional, f"max_pool{axes}d")(made(*x), **options).shape)
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    found = operators.pooled(x, *(options[name] for name in names), axes)
    each_axis = zip(x[-axes:], out[-axes:], *(options[name] for name in names[:4]), strict=True)
    assert found == (out, prod(x[:-axes]) * prod(under(*along) for along in each_axis))


@pytest.mark.parametrize("axes", [2, 3])
@given(data=st.data())
@SMALL
def test_the_windows_of_an_average_are_the_ones_that_it_adds_up(axes, data):
    x, options = data.draw(poolings(axes))
    del options["dilation"]
    widest = zip(x[-axes:], options["kernel_size"], strict=True)
    x = (*x[:-axes], *(max(size, k) for size, k in widest))
    run = getattr(functional, f"avg_pool{axes}d")
    sums = run(torch.ones(x), **options, divisor_override=1)
    kernel, stride, padding, ceil = options.values()
    found = operators.pooled(x, kernel, stride, padding, 1, ceil, axes)
    assert found == (tuple(sums.shape), int(sums.sum()))


@given(shapes, st.data(), st.booleans())
@SMALL
def test_a_reduction_comes_out_as_torch_makes_it(shape, data, keep):
    rank = len(shape)
    dims = data.draw(st.lists(st.integers(0, max(rank - 1, 0)), unique=True, max_size=rank))
    signed = tuple(data.draw(st.sampled_from([dim, dim - rank])) for dim in dims)
    out = made(*shape).sum(signed, keepdim=keep)
    assert operators.reduced(shape, signed, keep) == tuple(out.shape)
    if len(signed) == 1:
        assert operators.reduced(shape, signed[0], keep) == tuple(out.shape)


@given(shapes)
@SMALL
def test_a_reduction_over_nothing_named_is_over_all(shape):
    assert operators.reduced(shape, None, False) == tuple(made(*shape).sum().shape) == ()


@given(shapes.filter(len), st.data())
@SMALL
def test_tensors_are_put_behind_each_other_as_torch_puts_them(shape, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    along = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    parts = []
    for size in along:
        part = list(shape)
        part[dim] = size
        parts.append(tuple(part))
    if data.draw(st.booleans()):
        # an empty vector goes with anything
        parts.insert(data.draw(st.integers(0, len(parts))), (0,))
    out = torch.cat([made(*part) for part in parts], dim)
    assert operators.concatenated(tuple(parts), dim) == tuple(out.shape)


@given(shapes.filter(len), st.data())
@SMALL
def test_a_padding_comes_out_as_torch_makes_it_and_may_cut(shape, data):
    axes = data.draw(st.integers(1, len(shape)))
    pad: list[int] = []
    for size in reversed(shape[-axes:]):
        before = data.draw(st.integers(-size, 3))
        # what is cut must be there
        pad += [before, data.draw(st.integers(-(size + min(before, 0)), 3))]
    out = functional.pad(made(*shape), pad)
    assert operators.padded(shape, tuple(pad)) == tuple(out.shape)


@st.composite
def sums_of_products(draw: Any) -> tuple[str, tuple[tuple[int, ...], ...]]:
    """An equation of two or three operands and shapes that fit it, sizes of one among them."""
    size = {label: draw(st.integers(1, 3)) for label in "abcd"}
    labels = st.lists(st.sampled_from("abcd"), max_size=3)
    terms = draw(st.lists(labels, min_size=1, max_size=3))
    seen = sorted({label for term in terms for label in term})
    wanted = draw(st.permutations(seen).map(lambda found: found[: len(found) // 2 + 1]))
    shape = tuple(tuple(size[label] for label in term) for term in terms)
    equation = ",".join("".join(term) for term in terms)
    if draw(st.booleans()):
        equation += "->" + "".join(wanted)
    return equation, shape


@given(sums_of_products())
@SMALL
def test_an_einsum_comes_out_as_torch_makes_it(drawn):
    equation, shape = drawn
    out = torch.einsum(equation, *(made(*sizes) for sizes in shape))
    assert operators.einsum(equation, shape).out == tuple(out.shape)


@given(alike(), sizes, sizes, sizes)
@SMALL
def test_an_einsum_with_an_ellipsis_is_the_product_that_it_writes(pair, i, k, j):
    a, b = (*pair[0], i, k), (*pair[1], k, j)
    out = torch.einsum("...ik,...kj->...ij", made(*a), made(*b))
    found = operators.einsum("...ik, ...kj -> ...ij", (a, b))
    assert found == operators.matmul(a, b) == (tuple(out.shape), out.numel() * k)


@pytest.mark.parametrize(
    ("equation", "shape", "macs"),
    [
        ("ij->ji", ((2, 3),), 0),
        ("ii->", ((3, 3),), 0),
        ("i,j->ij", ((2,), (3,)), 0),
        ("ij,ij->ij", ((2, 3), (2, 3)), 0),
        ("i,i->", ((5,), (5,)), 5),
        ("ik,kj", ((2, 3), (3, 4)), 2 * 3 * 4),
        ("bik,bkj->bij", ((5, 2, 3), (5, 3, 4)), 5 * 2 * 3 * 4),
        # what only one has and nobody asks for is added up before
        ("ikx,kj->ij", ((2, 3, 7), (3, 4)), 2 * 3 * 4),
        # from left to right, two at a time
        ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5)), 2 * 3 * 4 + 2 * 4 * 5),
    ],
)
def test_an_einsum_costs_its_products_from_left_to_right(equation, shape, macs):
    assert operators.einsum(equation, shape).macs == macs


@given(st.integers(0, 4), st.lists(st.lists(sizes, min_size=1, max_size=2), max_size=4))
@SMALL
def test_a_recurrent_net_multiplies_every_matrix_once_a_row_and_adds_its_vectors(rows, weights):
    matrices = [weight for weight in weights if len(weight) == 2]
    expected = sum(rows * a * b for a, b in matrices)
    assert operators.recurrent(rows, [tuple(weight) for weight in weights]) == expected


@pytest.mark.parametrize(
    ("rule", "args", "run"),
    [
        (operators.conv, ((2, 3, 8), (4, 2, 3)), functional.conv1d),
        (operators.conv, ((2, 3, 2), (4, 3, 4)), functional.conv1d),
        (operators.conv, ((3,), (4, 3, 1)), functional.conv1d),
        (operators.conv_transpose, ((2, 3, 8), (4, 2, 3)), functional.conv_transpose1d),
        (operators.linear, ((2, 3), (4, 2)), functional.linear),
        (operators.matmul, ((2, 3), (4, 2)), torch.matmul),
        (operators.matmul, ((), (4,)), torch.matmul),
        (operators.matmul, ((3, 2, 4), (2, 4, 2)), torch.matmul),
        (operators.bilinear, ((2, 3), (2, 4), (5, 3, 3)), functional.bilinear),
        (operators.broadcast, ((2, 3), (2, 1, 2)), torch.add),
        (
            operators.attention,
            ((2, 3, 4), (2, 3, 5), (2, 3, 4)),
            functional.scaled_dot_product_attention,
        ),
    ],
)
def test_what_torch_refuses_is_refused(rule, args, run):
    with pytest.raises(RuntimeError):
        run(*(made(*shape) for shape in args))
    with pytest.raises(ShapeError, match="do not fit"):
        rule(*args)


@pytest.mark.parametrize(
    ("rule", "args"),
    [
        (operators.reduced, ((2, 3), 2, False)),
        (operators.concatenated, (((2, 3), (2, 4)), 0)),
        (operators.concatenated, (((2, 3), (2, 3)), 2)),
        (operators.padded, ((2, 3), (1, 1, 1, 1, 1, 1))),
        (operators.padded, ((2, 3), (-2, -2))),
        (operators.padded, ((2, 3), (1, -4))),
        (operators.pooled, ((5, 5), 2, 2)),
        (operators.einsum, ("ik,kj->ij", ((2, 3), (4, 5)))),
        (operators.einsum, ("ik->i", ((2, 3, 4),))),
        (operators.einsum, ("ik->j", ((2, 3),))),
        (operators.einsum, ("ik,kj->ij", ((2, 3),))),
        (operators.each, ((1, 2), 3)),
    ],
)
def test_what_fits_no_rule_is_a_shape_error(rule, args):
    with pytest.raises(ShapeError):
        rule(*args)


@pytest.mark.parametrize(("value", "out"), [(2, (2, 2, 2)), ((5,), (5, 5, 5)), ((1, 2, 3),) * 2])
def test_one_number_stands_for_every_axis(value, out):
    assert operators.each(value, 3) == out


def test_a_convolution_is_the_sum_over_places_that_its_definition_writes():
    n, groups, c, d, h, k = 2, 2, 4, 6, 5, 3
    taps = sum(
        1 for _ in places(range(n), range(d), range(h - k + 1), range(c // groups), range(k))
    )
    assert operators.conv((n, c, h), (d, c // groups, k)).macs == taps
