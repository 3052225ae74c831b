"""One value per unit: how it meets a tensor whose axis counts the units."""

from torch import Tensor


def along(values: Tensor, tensor: Tensor, axis: int) -> Tensor:
    """Shapes `values`, one per unit, so that they broadcast along `axis` of `tensor`.

    Args:
        values: (tensor.shape[axis],).
        tensor: what they will be combined with.
        axis: the units' axis.

    Returns:
        A view of `values` with `tensor.ndim` axes.
    """
    shape = [1] * tensor.ndim
    shape[axis] = -1
    return values.view(shape)


def sum_per_unit(tensor: Tensor, axis: int) -> Tensor:
    """Sums over every axis of `tensor` but `axis`.

    Returns:
        (tensor.shape[axis],).
    """
    others = [other for other in range(tensor.ndim) if other != axis]
    return tensor.sum(dim=others) if others else tensor
