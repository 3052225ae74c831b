"""Data as networks take it: cut into batches, moved to where the network is, checked once."""

from collections.abc import Iterator

import torch

from toroids.errors import DataError, ParamsError
from toroids.evaluation.batches import Batch, Data, batches, check_pair, to_place
from toroids.params import Params


class Prepared:
    """The batches of some data; what does not depend on the parameters is done once."""

    def __init__(self, data: Data, batch_size: int) -> None:
        """Cuts the data; see `batches` for what is refused."""
        self._batches = batches(data, batch_size)
        self._place: tuple[torch.device, torch.dtype] | None = None
        self._seen: tuple[torch.device, torch.dtype] | None = None
        self._count: int | None = None  # of a loader's examples

    @property
    def repeats(self) -> bool:
        """Whether the examples come in the same order every time; a loader may shuffle."""
        return isinstance(self._batches, list)

    def ready(self, params: Params) -> Iterator[Batch]:
        """Yields the batches on the device, and in the precision, of the parameters.

        Raises:
            DataError: a loader gives another number of examples than before.
        """
        place = place_of(params)
        if not isinstance(self._batches, list):  # a loader may give other batches every time
            yield from self._loaded(*place)
            return
        if self._place != place:
            self._batches = [to_place(check_pair(batch), *place) for batch in self._batches]
            self._place = place
        yield from self._batches

    def _loaded(self, device: torch.device, dtype: torch.dtype) -> Iterator[Batch]:
        """Yields what a loader gives; raises where that is less or more than the first time."""
        count = 0
        for batch in self._batches:
            pair = check_pair(batch)
            count += len(pair[1])
            yield to_place(pair, device, dtype)
        if self._count not in (None, count):
            raise DataError(
                f"the data gave {self._count} examples the first time and {count} now; pass what "
                "gives the same every time, as list(data)."
            )
        self._count = count

    def is_seen(self, params: Params) -> bool:
        """Whether these batches have all gone through a network that lies where this one does."""
        return self.repeats and self._seen == place_of(params)

    def mark_seen(self, params: Params) -> None:
        """Notes that they have."""
        self._seen = place_of(params)


def place_of(params: Params) -> tuple[torch.device, torch.dtype]:
    """Finds the device and the precision in which a network runs.

    Args:
        params: parameters and buffers by name.

    Returns:
        Those of its first floating tensor.

    Raises:
        ParamsError: no tensor has a precision.
    """
    for tensor in params.values():
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    raise ParamsError("the parameters hold no floating-point tensor; pass a model's state dict.")
