"""The moves that rules are made of; see `values` for what a value is."""

from toroids.discovery.axes.arithmetic import add, contract, couple, elementwise, multiply, scaled
from toroids.discovery.axes.arrange import insert_axis, permute, reshape, select, take
from toroids.discovery.axes.concatenate import concatenate
from toroids.discovery.axes.meet import average_out, drop_axis, equate, reduce
from toroids.discovery.axes.values import (
    SCALE,
    SHIFT,
    SIGN,
    Bundle,
    Value,
    constant,
    fixed,
    fixed_value,
    grouped_parameter,
    parameter,
    pin,
    unmixed,
    without,
    zero,
)

__all__ = [
    "Bundle",
    "SCALE",
    "SHIFT",
    "SIGN",
    "Value",
    "add",
    "average_out",
    "concatenate",
    "constant",
    "contract",
    "couple",
    "drop_axis",
    "elementwise",
    "equate",
    "fixed",
    "fixed_value",
    "grouped_parameter",
    "insert_axis",
    "multiply",
    "parameter",
    "permute",
    "pin",
    "reduce",
    "reshape",
    "scaled",
    "select",
    "take",
    "unmixed",
    "without",
    "zero",
]
