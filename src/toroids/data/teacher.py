"""Random inputs labelled by a random network: a rule that a student can learn exactly."""

from typing import Literal

import torch
from torch import Tensor

from toroids.arguments.checked import checked_data
from toroids.data.dataset import Dataset, check_count, check_range
from toroids.errors import DataError

Teacher = Literal["perceptron", "committee"]
TEACHERS = ("perceptron", "committee")


@checked_data
def teacher(
    inputs: int,
    train: int,
    test: int,
    teacher: Teacher = "perceptron",
    hidden: int = 3,
    seed: int = 0,
    noise: float = 0.0,
    binary: bool = False,
) -> Dataset:
    """Draws random inputs x and labels them by a random teacher.

    A perceptron gives class 1 where w . x > 0 and 0 elsewhere; a committee machine has `hidden`
    of them and gives the class of the majority, sum_k sign(w_k . x) > 0. All entries of w are
    Gaussian, so the two classes are equally likely. `teacher_weights` gives w, `teacher_labels`
    the labels of other inputs.

    Args:
        inputs: length N of an input.
        train: number of training examples.
        test: number of test examples.
        teacher: "perceptron" or "committee".
        hidden: units of the committee, odd, so that there is a majority.
        seed: of the teacher and the inputs.
        noise: fraction of the training labels that are wrong, 0 to 1; test labels are the
            teacher's.
        binary: inputs of -1 and +1 in place of Gaussian ones.

    Returns:
        Inputs of shape (n, inputs) and two classes; the training examples do not depend on `test`.

    Raises:
        DataError: a setting is out of range, or the teacher is unknown.

    Example:
        >>> import toroids as td
        >>> data = td.data.teacher(inputs=51, train=100, test=50, teacher="committee", hidden=5)
        >>> w = td.data.teacher_weights(51, "committee", hidden=5)
        >>> bool((td.data.teacher_labels(w, data.test[0]) == data.test[1]).all())
        True

    Reference:
        A. Engel, C. Van den Broeck, Statistical Mechanics of Learning, 2001.
    """
    check_count("train", train, 1, 100_000_000)
    check_count("test", test, 1, 100_000_000)
    check_range("noise", noise, 0, 1)
    generator = torch.Generator().manual_seed(seed)
    weights = _draw_weights(inputs, teacher, hidden, generator)
    noise_seed = int(torch.randint(2**31, (), generator=generator))
    drawn = [random_inputs(count, inputs, binary, generator) for count in (train, test)]
    labelled = [(x, teacher_labels(weights, x)) for x in drawn]
    return Dataset(labelled[0], labelled[1], classes=2).label_noise(noise, noise_seed)


@checked_data
def teacher_weights(
    inputs: int, teacher: Teacher = "perceptron", hidden: int = 3, seed: int = 0
) -> Tensor:
    """Draws the weights of the teacher that `teacher` with the same settings uses.

    Args:
        inputs: length of an input.
        teacher: "perceptron" or "committee".
        hidden: units of the committee.
        seed: the one given to `teacher`.

    Returns:
        Shape (units, inputs), where a perceptron is one unit.

    Raises:
        DataError: a setting is out of range, or the teacher is unknown.

    Example:
        >>> import toroids as td
        >>> td.data.teacher_weights(51, "committee", hidden=5).shape
        torch.Size([5, 51])
    """
    return _draw_weights(inputs, teacher, hidden, torch.Generator().manual_seed(seed))


@checked_data
def teacher_labels(weights: Tensor, inputs: Tensor) -> Tensor:
    """Labels inputs by the majority of a teacher's units: sum_k sign(w_k . x) > 0.

    Args:
        weights: of shape (units, N), as `teacher_weights` gives them.
        inputs: of shape (n, N).

    Returns:
        Classes 0 and 1 of shape (n,).

    Raises:
        DataError: the shapes do not fit, or inputs are not finite.

    Example:
        >>> import torch, toroids as td
        >>> w = torch.tensor([[1.0, -1.0]])
        >>> td.data.teacher_labels(w, torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
        tensor([1, 0])
    """
    shapes = [tuple(x.shape) if isinstance(x, Tensor) else () for x in (weights, inputs)]
    if [len(shape) for shape in shapes] != [2, 2] or shapes[0][1] != shapes[1][1]:
        raise DataError(
            f"the weights and the inputs have the shapes {shapes[0]} and {shapes[1]}; pass tensors "
            "of the shapes (units, N) and (n, N), of one N."
        )
    if not bool(torch.isfinite(inputs).all()):
        raise DataError("the inputs hold NaN or infinity; pass finite ones.")
    return ((inputs @ weights.T).sign().sum(1) > 0).long()


def random_inputs(count: int, length: int, binary: bool, generator: torch.Generator) -> Tensor:
    """Draws inputs of shape (count, length), Gaussian of variance 1, or of -1 and +1."""
    if binary:
        return torch.randint(2, (count, length), generator=generator).float() * 2 - 1
    return torch.randn(count, length, generator=generator)


def _draw_weights(inputs: int, teacher: Teacher, hidden: int, generator: torch.Generator) -> Tensor:
    if teacher not in TEACHERS:
        raise DataError(f"there is no teacher {teacher!r}; choose from {', '.join(TEACHERS)}.")
    check_count("inputs", inputs, 1, 10_000_000)
    check_count("hidden", hidden, 1, 1_000_000)
    if teacher == "committee" and hidden % 2 == 0:
        raise DataError(f"`hidden` is {hidden}; pass an odd number, so that there is a majority.")
    units = hidden if teacher == "committee" else 1
    return torch.randn(units, inputs, generator=generator)
