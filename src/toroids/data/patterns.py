"""Random patterns with random labels: nothing to learn, everything to store."""

import torch

from toroids.arguments.checked import checked_data
from toroids.data.dataset import Dataset, balanced_labels, check_count, check_range
from toroids.data.teacher import random_inputs


@checked_data
def patterns(inputs: int, density: float, seed: int = 0, binary: bool = False) -> Dataset:
    """Draws P = density * inputs random patterns with random labels.

    The density alpha = P / N is the load: a perceptron can store up to 2 N Gaussian patterns.

    Args:
        inputs: length N of a pattern.
        density: number of patterns over length, rounded to at least one pattern.
        seed: of everything.
        binary: patterns of -1 and +1 in place of Gaussian ones.

    Returns:
        Inputs of shape (P, N) and two classes, as many of one as of the other, or one more. The
        test examples are P other patterns, of which nobody can know the labels: the test error
        of any network is 1/2 up to chance.

    Raises:
        DataError: a setting is out of range.

    Example:
        >>> import toroids as td
        >>> td.data.patterns(inputs=101, density=0.5).train[0].shape
        torch.Size([50, 101])

    Reference:
        E. Gardner, The space of interactions in neural network models, 1988.
    """
    check_count("inputs", inputs, 1, 10_000_000)
    check_range("density", density, 0.5 / inputs, 10_000)
    count = max(1, round(density * inputs))
    generator = torch.Generator().manual_seed(seed)
    train, test = (
        (
            random_inputs(count, inputs, binary, generator),
            balanced_labels(count, 2, generator),
        )
        for _ in range(2)
    )
    return Dataset(train=train, test=test, classes=2)
