"""A module whose forward is a function of a test."""

import torch
from torch import nn


class Function(nn.Module):
    """Layers and parameters by name, tensors as buffers, and a forward written in the test."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            if type(part) is torch.Tensor:
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        self._forward = forward

    def forward(self, *args, **kwargs):
        return self._forward(self, *args, **kwargs)
