"""Tensors that are made when they are asked for."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from torch import Tensor


class Computed(Mapping[str, Tensor]):
    """Tensors by name, each computed whenever it is asked for; none is kept.

    So a network that does not fit into memory is drawn, moved or read one tensor at a time.
    """

    def __init__(self, names: Iterable[str], compute: Callable[[str], Tensor]) -> None:
        """Takes the names, in order, and what gives the tensor of a name."""
        self._names, self._compute = dict.fromkeys(names), compute

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._compute(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
