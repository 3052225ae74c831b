"""The small networks over which every law is tested, in float64."""

from dataclasses import dataclass

import torch

import toroids as td


@dataclass(frozen=True)
class Case:
    """A network with its group and a batch of inputs, all on one device."""

    model: torch.nn.Module
    group: td.SymmetryGroup
    inputs: torch.Tensor

    @property
    def params(self):
        return {name: tensor.detach() for name, tensor in self.model.state_dict().items()}

    def outputs(self, params):
        return torch.func.functional_call(self.model, dict(params), (self.inputs,))

    def other(self, seed):
        """Other parameters of the same architecture."""
        generator = torch.Generator().manual_seed(seed)
        return {
            name: torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype).to(tensor)
            for name, tensor in self.params.items()
        }


# name: (widths, bias, output)
NETWORKS = {
    "one-hidden": ((5, 7, 3), True, "values"),
    "two-hidden": ((6, 8, 9, 4), True, "classifier"),
    "two-hidden-logits": ((6, 8, 9, 4), True, "logits"),
    "no-bias": ((6, 8, 9, 4), False, "classifier"),
    "deep": ((4, 6, 6, 6, 6, 3), True, "classifier"),
    "equal-widths": ((5, 5, 5, 5), True, "classifier"),
    "width-one": ((4, 1, 3), True, "classifier"),
    "fan-in-one": ((1, 6, 2), False, "classifier"),
    "linear": ((5, 4), True, "classifier"),
    "one-output": ((5, 6, 1), True, "values"),
}


def build(name, device="cpu"):
    widths, bias, output = NETWORKS[name]
    model = td.models.fully_connected(widths, bias=bias, seed=3).double().to(device)
    layers = [f"hidden{depth}" for depth in range(1, len(widths) - 1)] + ["output"]
    group = td.symmetry.fully_connected_group(model.state_dict(), output=output, layers=layers)
    generator = torch.Generator().manual_seed(4)
    inputs = torch.randn(16, widths[0], generator=generator, dtype=torch.float64)
    return Case(model, group, inputs.to(device))


def element(case, seed, size=1.0):
    """A random element with log-scales of standard deviation about `size`."""
    drawn = case.group.random(torch.Generator().manual_seed(seed))
    return td.symmetry.Element(
        {
            name: td.symmetry.SpaceElement(
                choice.permutation, (size * choice.log_scales).clamp(-5, 5)
            )
            for name, choice in drawn.choices.items()
        }
    )


def permutations_of(case, drawn):
    """The discrete part of an element."""
    return td.symmetry.Element(
        {
            name: td.symmetry.SpaceElement(choice.permutation, torch.zeros_like(choice.log_scales))
            for name, choice in drawn.choices.items()
        }
    )


def largest_difference(a, b):
    return max((a[name] - b[name]).abs().max().item() for name in a)
