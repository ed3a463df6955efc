"""What every operator is: those that multiply and add, and those that are free on purpose.

An operator goes by its name in torch without underscores around it, so that ``add``, ``add_``,
``__iadd__`` and ``aten::add_`` are one. What stands in none of these lists, and does not call
itself pointwise, is reported and never taken as zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# One kind a line, with the reason why none of its operators sums a product of a network's.
_OPERATORS_BY_KIND = {
    # an affine map for each channel, folded into the layer before it
    "batch_norm": "batch_norm native_batch_norm native_batch_norm_legit cudnn_batch_norm"
    " native_batch_norm_legit_no_training native_batch_norm_legit_functional miopen_batch_norm"
    " batch_norm_impl_index batch_norm_with_update batch_norm_no_update sync_batch_norm",
    # statistics over the features, then an affine map
    "layer_norm": "layer_norm native_layer_norm",
    "group_norm": "group_norm native_group_norm",
    "instance_norm": "instance_norm",
    "norm": "rms_norm fused_rms_norm local_response_norm normalize renorm weight_norm"
    " weight_norm_interface",
    # comparing with constants
    "relu": "relu threshold",
    "relu6": "relu6",
    # a function of each element by itself
    "activation": "hardtanh leaky_relu elu selu celu gelu silu mish hardswish hardsigmoid sigmoid"
    " logsigmoid log_sigmoid_forward tanh softplus softsign tanhshrink softshrink hardshrink prelu"
    " prelu_kernel rrelu rrelu_with_noise glu rrelu_with_noise_functional",
    # comparing, or sums of what lies under a window without products
    "max_pool": "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices"
    " max_pool3d_with_indices adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d"
    " fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d mkldnn_max_pool2d"
    " quantized_max_pool2d lp_pool1d lp_pool2d lp_pool3d",
    "avg_pool": "avg_pool1d avg_pool2d avg_pool3d",
    "adaptive_avg_pool": "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d"
    " mkldnn_adaptive_avg_pool2d",
    # bringing tensors together
    "concat": "cat concat concatenate stack hstack vstack dstack column_stack block_diag"
    " cartesian_prod meshgrid pad_sequence",
    # each element over a sum
    "softmax": "softmax log_softmax softmin gumbel_softmax safe_softmax softmax_forward",
    # weights of neighbours that depend on the place alone
    "interpolate": "interpolate upsample grid_sample grid_sampler grid_sampler_2d grid_sampler_3d"
    " affine_grid affine_grid_generator upsample_nearest1d upsample_nearest2d upsample_nearest3d"
    " upsample_nearest_exact1d upsample_nearest_exact2d upsample_nearest_exact3d upsample_linear1d"
    " upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d upsample_bilinear2d_aa"
    " upsample_bicubic2d_aa grid_sampler_2d_cpu_fallback cudnn_grid_sampler"
    " upsample_lanczos2d_aa",
    # adding up, comparing, or a statistic
    "reduce": "mean sum prod amax amin max min aminmax argmax argmin norm vector_norm"
    " linalg_vector_norm matrix_norm std var std_mean var_mean logsumexp cumsum cumprod cummax"
    " cummin logcumsumexp all any count_nonzero nansum nanmean median nanmedian mode quantile"
    " nanquantile trace histc bincount sum_to_size dist trapezoid diff"
    " scatter_reduce index_reduce segment_reduce cumulative_trapezoid frobenius_norm nuclear_norm"
    " linalg_norm",
    # looking up
    "embedding": "embedding embedding_bag embedding_renorm embedding_bag_forward_only"
    " embedding_forward one_hot",
    "pad": "pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d"
    " replication_pad1d replication_pad2d replication_pad3d pad_circular pad_enum",
    "index": "index gather index_select take take_along_dim masked_select index_put index_put_impl"
    " index_fill index_copy index_add scatter scatter_add select_scatter slice_scatter put"
    " masked_scatter roll flip fliplr flipud rot90 tril triu tril_indices triu_indices repeat"
    " repeat_interleave tile unique unique2 unique_consecutive nonzero nonzero_static argwhere"
    " searchsorted bucketize unfold_copy im2col col2im fold pixel_shuffle pixel_unshuffle"
    " channel_shuffle native_channel_shuffle diag diag_embed diagonal_scatter getitem setitem"
    " unsafe_index unsafe_index_put unsafe_masked_index index_select_backward isin"
    " combinations unique_dim broadcast_tensors",
    # moving, or changing the type of an element
    "copy": "clone contiguous copy to to_copy type type_as float double half bfloat16 int long"
    " short char byte bool cpu cuda lift lift_fresh lift_fresh_copy fill zero fill_diagonal"
    " resize resize_as set pin_memory to_dense to_sparse view_copy expand_copy permute_copy"
    " reshape_copy slice_copy pack_padded_sequence pad_packed_sequence chunk_cat cudnn_rnn_flatten"
    " cudnn_rnn_flatten_weight split_with_sizes_copy narrow_copy unsqueeze_copy squeeze_copy"
    " alias_copy transpose_copy detach_copy nested_tensor_from_mask to_padded_tensor unbind_copy"
    " reshape_alias_copy copy_from as_subclass",
    # nothing goes in
    "create": "empty zeros ones full eye arange range linspace logspace tensor as_tensor asarray"
    " from_numpy scalar_tensor empty_like zeros_like ones_like full_like new_empty new_zeros"
    " new_ones new_full new_tensor empty_strided new_empty_strided efficientzerotensor complex"
    " polar hann_window hamming_window blackman_window bartlett_window kaiser_window vander"
    " sparse_coo_tensor empty_permuted frombuffer",
    "random": "rand randn randint randperm rand_like randn_like randint_like bernoulli normal"
    " uniform multinomial exponential geometric random dropout alpha_dropout feature_dropout"
    " feature_alpha_dropout dropout1d dropout2d dropout3d native_dropout poisson cauchy log_normal"
    " binomial standard_gamma fused_dropout trunc_normal",
    "sort": "sort argsort topk kthvalue msort",
    "compare": "eq ne lt le gt ge equal allclose isclose isnan isinf isfinite is_nonzero isposinf"
    " isneginf isreal logical_and logical_or logical_not logical_xor signbit",
    "loss": "cross_entropy nll_loss nll_loss2d nll_loss_nd nll_loss_forward nll_loss2d_forward"
    " binary_cross_entropy binary_cross_entropy_with_logits mse_loss l1_loss smooth_l1_loss"
    " huber_loss kl_div cross_entropy_loss ctc_loss triplet_margin_loss margin_ranking_loss"
    " cosine_embedding_loss hinge_embedding_loss soft_margin_loss multi_margin_loss"
    " multilabel_margin_loss gaussian_nll_loss poisson_nll_loss pairwise_distance"
    " cosine_similarity",
    # overlaps of boxes, and neighbours read at places that depend on the data
    "vision": "roi_align roi_pool ps_roi_align ps_roi_pool nms",
    "add": "add",
    "mul": "mul multiply",
    # a function of the elements at one place
    "elementwise": "sub subtract rsub div divide true_divide truediv floordiv"
    " floor_divide remainder mod fmod neg negative pos positive abs absolute pow float_power"
    " square sqrt rsqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan atan2 sinh"
    " cosh asinh acosh atanh arctan arctan2 erf erfc erfinv reciprocal sign sgn floor ceil round"
    " trunc frac fix clamp clip clamp_min clamp_max maximum minimum fmax fmin where masked_fill"
    " lerp addcmul addcdiv hypot logaddexp logaddexp2 nan_to_num bitwise_and bitwise_or"
    " bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift and or xor invert"
    " lshift rshift logit xlogy xlog1py i0 i0e i1 i1e sinc digamma lgamma polygamma mvlgamma"
    " gammaln deg2rad rad2deg cross linalg_cross outer ger addr stochastic_depth conj conj_physical"
    " resolve_conj resolve_neg angle real imag view_as_real_copy heaviside gcd lcm ldexp copysign"
    " nextafter frexp log_ndtr ndtr ndtri expit entr kron"
    " foreach_add foreach_mul amp_foreach",
}

#: Every free operator with its kind.
FREE_OPERATORS: Mapping[str, str] = MappingProxyType(
    {name: kind for kind, names in _OPERATORS_BY_KIND.items() for name in names.split()}
)

# One kind a line: what one call of these sums, in whatever order torch takes them apart.
_PRODUCT_NAMES = {
    "conv": "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
    "linear": "linear",
    "bilinear": "bilinear",
    "matmul": "matmul mm bmm mv dot vdot addmm baddbmm addmv grouped_mm",
    "attention": "scaled_dot_product_attention",
}

#: Every operator that has a kind: those that are free, and the products that users call.
KIND: Mapping[str, str] = MappingProxyType(
    {
        **FREE_OPERATORS,
        **{name: kind for kind, names in _PRODUCT_NAMES.items() for name in names.split()},
    }
)

_VIEW_NAMES = (
    "view reshape flatten unflatten squeeze unsqueeze permute transpose t adjoint movedim moveaxis"
    " swapaxes swapdims expand expand_as broadcast_to view_as reshape_as narrow select chunk split"
    " tensor_split hsplit vsplit dsplit unbind detach diagonal as_strided alias slice"
    " split_with_sizes unsafe_split unsafe_chunk unsafe_split_with_sizes unsafe_view reshape_alias"
    " view_as_real view_as_complex ravel atleast_1d atleast_2d atleast_3d iter T mT H mH data"
    " squeeze_multiple detach_alias unfold lift_alias requires_grad retain_grad values indices"
    " fw_primal make_dual unpack_dual conj_view neg_view rename refine_names align_to"
)
#: Operators that only rename a tensor: nothing is made, nothing moves.
VIEW_OPERATORS = frozenset(_VIEW_NAMES.split())

_NEEDS_VALUES = (
    "item tolist __bool__ __int__ __float__ __complex__ __index__ __contains__ __array__ numpy"
    " nonzero argwhere masked_select unique _unique2 unique_consecutive unique_dim bincount nms"
    " equal allclose is_nonzero _local_scalar_dense histogramdd"
)
#: Operators, by their whole names, whose result depends on values and not on shapes alone.
NEEDS_VALUES = frozenset(_NEEDS_VALUES.split())

_PAIRS = "add sub mul matmul div truediv floordiv mod pow and or xor lshift rshift"
_REFLECTED = frozenset(_PAIRS.split())


def operator_of(name: str) -> str:
    """An operator's name without what marks it in-place, reflected or internal."""
    bare = name.strip("_")
    if name.startswith("__") and bare[1:] in _REFLECTED and bare[0] in "ri":
        return bare[1:]
    return bare
