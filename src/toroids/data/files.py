"""Data from files: tensors in safetensors format, nothing of which is ever executed."""

from toroids.checkpoint.matching import listed
from toroids.data.digits import digits
from toroids.errors import DataError
from toroids.evaluation.batches import Batch, check_pair
from toroids.params import load_params

TARGETS = ("targets", "labels")
EMBEDDED = ("digits", "digits:test")


def load_data(source: str) -> Batch:
    """Reads examples from a safetensors file, or takes an embedded set.

    Args:
        source: a file with the tensors `inputs` (n, ...) and `targets` (or `labels`), where any
            other names in place of `inputs` are keyword arguments of the model; or "digits", the
            training images of `digits()`, and "digits:test", its test images.

    Returns:
        Inputs and targets.

    Raises:
        DataError: the file lacks inputs or targets.
        ParamsError: it is missing, or not a safetensors file.
    """
    if source in EMBEDDED:
        return digits().train if source == "digits" else digits().test
    tensors = load_params(source)
    named = [name for name in TARGETS if name in tensors]
    rest = {name: tensor for name, tensor in tensors.items() if name not in named}
    if len(named) != 1 or not rest:
        raise DataError(
            f"`{source}` holds {listed(sorted(tensors)) or 'nothing'}; expected `inputs` and "
            "`targets` (or `labels`), as safetensors.torch.save_file({'inputs': x, 'targets': y}, "
            "path) writes them."
        )
    inputs = rest["inputs"] if set(rest) == {"inputs"} else rest
    return check_pair((inputs, tensors[named[0]]))
