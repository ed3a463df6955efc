"""The element types of ONNX, their sizes, and where in a module a node stands."""

from __future__ import annotations

import ast
from typing import Any

import onnx

_BITS = {
    **dict.fromkeys(("INT2", "UINT2"), 2),
    **dict.fromkeys(("INT4", "UINT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("BOOL", "INT8", "UINT8", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ"), 8),
    **dict.fromkeys(("FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT8E8M0"), 8),
    **dict.fromkeys(("INT16", "UINT16", "FLOAT16", "BFLOAT16"), 16),
    **dict.fromkeys(("INT32", "UINT32", "FLOAT"), 32),
    **dict.fromkeys(("INT64", "UINT64", "DOUBLE", "COMPLEX64"), 64),
    "COMPLEX128": 128,
}
#: The domains of ONNX's own operators.
STANDARD_DOMAINS = ("", "ai.onnx")
_SCOPES = "pkg.torch.onnx.name_scopes"


def bits(kind: int) -> int | None:
    """The size of one element [bit]; None for what has none, such as a text."""
    return _BITS.get(_name(kind))


def is_floating(kind: int) -> bool:
    """Whether the elements are fractions, as learned ones are."""
    return _name(kind).startswith(("FLOAT", "DOUBLE", "BFLOAT", "COMPLEX"))


def _name(kind: int) -> str:
    known: dict[int, str] = {value: key for key, value in onnx.TensorProto.DataType.items()}
    return known.get(kind, "")


def module_path(node: Any, number: int) -> str:
    """The path of the module that a node came from, or the name of the node.

    torch's newer exporter stores the path, its older one spells it in the name of the node.
    """
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            scopes = _listed(entry.value)
            if len(scopes) > 1:
                return scopes[-2]
    name: str = node.name
    if not name.startswith("/"):
        return name or f"{node.op_type}_{number}"
    path, last = "", ""
    for part in name.strip("/").split("/")[:-1]:
        # /layer1/layer1.0/conv1/Conv is layer1.0.conv1
        if last and part.startswith(f"{last}."):
            path = f"{path.removesuffix(last)}{part}"
        else:
            path = f"{path}.{part}" if path else part
        last = part
    return path


def _listed(text: str) -> list[str]:
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return []
    return [str(part) for part in found] if isinstance(found, list) else []
