"""Classic networks, written from their published descriptions, at true depth.

`CLASSIC` has their true widths, `THIN` a quarter of them where that is what takes the time.
"""

import torch
import torch.nn.functional as F
from torch import nn


def unsettle(model, seed=0):
    """Batch-norm statistics and norm weights away from their initial values."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif name.endswith("running_mean"):
            tensor.normal_(0, 0.5, generator=generator)
        elif tensor.is_floating_point() and tensor.ndim == 1:
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
    return model.eval()


def unit(i, o, k=1, stride=1, groups=1, act=nn.ReLU):
    layers = [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Residual(nn.Module):
    def __init__(self, body, shortcut=None):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return F.relu(self.body(x) + (x if self.shortcut is None else self.shortcut(x)))


def resnet(depths, bottleneck=False, groups=1, base=64, inner=64):
    layers = [unit(3, base, 7, 2), nn.MaxPool2d(3, 2, 1)]
    width = base
    for stage, depth in enumerate(depths):
        middle, out = inner * 2**stage, base * 2**stage * (4 if bottleneck else 1)
        for block in range(depth):
            stride = 2 if stage and not block else 1
            if bottleneck:
                parts = (
                    unit(width, middle),
                    unit(middle, middle, 3, stride, groups),
                    unit(middle, out, act=None),
                )
            else:
                parts = (unit(width, out, 3, stride), unit(out, out, 3, act=None))
            change = unit(width, out, 1, stride, act=None) if width != out or stride > 1 else None
            layers.append(Residual(nn.Sequential(*parts), change))
            width = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


class PaddedBlock(nn.Module):
    """The block of a CIFAR residual network whose shortcut pads channels with zeros."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.body = nn.Sequential(unit(i, o, 3, stride), unit(o, o, 3, act=None))
        self.stride, self.pad = stride, (o - i) // 2

    def forward(self, x):
        short = x
        if self.stride > 1:
            short = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(self.body(x) + short)


def resnet20_padded():
    layers, width = [unit(3, 16, 3)], 16
    for out in (16, 32, 64):
        for block in range(3):
            layers.append(PaddedBlock(width, out, 2 if out > 16 and not block else 1))
            width = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def vgg16_bn(base=64):
    layers, width = [], 3
    for times in (1, 1, 0, 2, 2, 0, 4, 4, 4, 0, 8, 8, 8, 0, 8, 8, 8):
        out = times * base
        if not out:
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers += [nn.Conv2d(width, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
        width = out
    head = [
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * width, 512),
        nn.ReLU(True),
        nn.Dropout(),
    ]
    return nn.Sequential(
        *layers, *head, nn.Linear(512, 512), nn.ReLU(True), nn.Dropout(), nn.Linear(512, 10)
    )


class Dense(nn.Module):
    def __init__(self, width, growth):
        super().__init__()
        self.n1, self.c1 = nn.BatchNorm2d(width), nn.Conv2d(width, 4 * growth, 1, bias=False)
        self.n2 = nn.BatchNorm2d(4 * growth)
        self.c2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.c2(F.relu(self.n2(self.c1(F.relu(self.n1(x))))))], 1)


def densenet121(growth=32):
    width = 2 * growth
    layers = [unit(3, width, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for stage, depth in enumerate((6, 12, 24, 16)):
        for _ in range(depth):
            layers.append(Dense(width, growth))
            width += growth
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        if stage < 3:
            layers += [nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
            width //= 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


class Excite(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.down, self.up = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)

    def forward(self, x):
        return x * F.hardsigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Inverted(nn.Module):
    def __init__(self, i, hidden, o, k, stride, excite, act):
        super().__init__()
        parts = [unit(i, hidden, act=act), unit(hidden, hidden, k, stride, hidden, act=act)]
        parts += [Excite(hidden)] if excite else []
        self.body = nn.Sequential(*parts, unit(hidden, o, act=None))
        self.skip = stride == 1 and i == o

    def forward(self, x):
        return x + self.body(x) if self.skip else self.body(x)


def mobilenet_v3():
    rows = [
        (16, 16, 3, 2, True, nn.ReLU), (72, 24, 3, 2, False, nn.ReLU), (88, 24, 3, 1, False, nn.ReLU),
        (96, 40, 5, 2, True, nn.Hardswish), (240, 40, 5, 1, True, nn.Hardswish),
        (240, 40, 5, 1, True, nn.Hardswish), (120, 48, 5, 1, True, nn.Hardswish),
        (144, 48, 5, 1, True, nn.Hardswish), (288, 96, 5, 2, True, nn.Hardswish),
        (576, 96, 5, 1, True, nn.Hardswish), (576, 96, 5, 1, True, nn.Hardswish),
    ]  # fmt: skip
    layers, width = [unit(3, 16, 3, 2, act=nn.Hardswish)], 16
    for hidden, out, k, stride, excite, act in rows:
        layers.append(Inverted(width, hidden, out, k, stride, excite, act))
        width = out
    layers += [unit(96, 576, act=nn.Hardswish), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(
        *layers, nn.Linear(576, 256), nn.Hardswish(), nn.Dropout(), nn.Linear(256, 10)
    )


class Shuffle(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        half = o // 2
        self.stride = stride
        if stride > 1:
            self.left = nn.Sequential(unit(i, i, 3, stride, i, act=None), unit(i, half))
        start = i if stride > 1 else i // 2
        self.right = nn.Sequential(
            unit(start, half), unit(half, half, 3, stride, half, act=None), unit(half, half)
        )

    def forward(self, x):
        if self.stride == 1:
            left, right = x.chunk(2, dim=1)
            out = torch.cat((left, self.right(right)), dim=1)
        else:
            out = torch.cat((self.left(x), self.right(x)), dim=1)
        b, c, h, w = out.shape
        return out.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, c, h, w)


def shufflenet_v2():
    layers, width = [unit(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)], 24
    for out, depth in ((48, 2), (96, 4), (192, 2)):
        for block in range(depth):
            layers.append(Shuffle(width, out, 1 if block else 2))
            width = out
    return nn.Sequential(
        *layers, unit(192, 256), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10)
    )


class Inception(nn.Module):
    def __init__(self, i, a, b, c, d):
        super().__init__()
        self.a = unit(i, a)
        self.b = nn.Sequential(unit(i, b // 2), unit(b // 2, b, 3))
        self.c = nn.Sequential(unit(i, c // 2), unit(c // 2, c, 3), unit(c, c, 3))
        self.d = unit(i, d)

    def forward(self, x):
        pooled = F.avg_pool2d(x, 3, stride=1, padding=1)
        return torch.cat([self.a(x), self.b(x), self.c(x), self.d(pooled)], 1)


def inception():
    layers = [unit(3, 32, 3, 2), Inception(32, 16, 24, 16, 8), Inception(64, 32, 48, 24, 24)]
    return nn.Sequential(*layers, nn.MaxPool2d(3, 2), Inception(128, 32, 64, 32, 32),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(160, 10))  # fmt: skip


class UNet(nn.Module):
    def __init__(self, widths=(16, 32, 64)):
        super().__init__()
        pairs = list(zip((3, *widths), widths, strict=False))
        self.down = nn.ModuleList(nn.Sequential(unit(i, o, 3), unit(o, o, 3)) for i, o in pairs)
        ups = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, 2) for i, o in ups)
        self.join = nn.ModuleList(nn.Sequential(unit(2 * o, o, 3), unit(o, o, 3)) for _, o in ups)
        self.head = nn.Conv2d(widths[0], 2, 1)

    def forward(self, x):
        kept = []
        for position, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if position else x)
            kept.append(x)
        for up, join, skip in zip(self.up, self.join, kept[-2::-1], strict=True):
            x = join(torch.cat([skip, up(x)], 1))
        return self.head(x)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.lstm = nn.Embedding(50, 16), nn.LSTM(16, 24, 2, batch_first=True)
        self.head = nn.Linear(24, 4)

    def forward(self, tokens):
        _, (state, _) = self.lstm(self.words(tokens))
        return self.head(state[-1])


class Mixer(nn.Module):
    def __init__(self, tokens, width):
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.across = nn.Sequential(nn.Linear(tokens, 24), nn.GELU(), nn.Linear(24, tokens))
        self.within = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))

    def forward(self, x):
        x = x + self.across(self.n1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.within(self.n2(x))


class MLPMixer(nn.Module):
    def __init__(self, depth=4):
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 8, 8)
        self.blocks = nn.Sequential(*(Mixer(16, 32) for _ in range(depth)), nn.LayerNorm(32))
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.blocks(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


def classic(make, *shape):
    def build():
        torch.manual_seed(0)
        return unsettle(make()), torch.randn(shape, generator=torch.Generator().manual_seed(1))

    return build


def lstm_classifier():
    torch.manual_seed(0)
    return unsettle(Recurrent()), torch.arange(14).view(2, 7)


CLASSIC = {
    "VGG-16-BN": classic(vgg16_bn, 2, 3, 32, 32),
    "ResNet-18": classic(lambda: resnet((2, 2, 2, 2)), 2, 3, 64, 64),
    "ResNet-50": classic(lambda: resnet((3, 4, 6, 3), True), 2, 3, 64, 64),
    "ResNet-20, zero-padded shortcuts": classic(resnet20_padded, 2, 3, 32, 32),
    "ResNeXt-26 32x4d": classic(lambda: resnet((2, 2, 2, 2), True, 32, inner=128), 2, 3, 64, 64),
    "DenseNet-121": classic(densenet121, 2, 3, 64, 64),
    "MobileNetV3-small": classic(mobilenet_v3, 2, 3, 64, 64),
    "ShuffleNetV2": classic(shufflenet_v2, 2, 3, 64, 64),
    "Inception-like": classic(inception, 2, 3, 32, 32),
    "U-Net": classic(UNet, 2, 3, 32, 32),
    "MLP-Mixer": classic(MLPMixer, 2, 3, 32, 32),
    "LSTM classifier": lstm_classifier,
}
THIN = {
    **CLASSIC,
    "VGG-16-BN": classic(lambda: vgg16_bn(16), 2, 3, 32, 32),
    "ResNet-18": classic(lambda: resnet((2, 2, 2, 2), base=16), 2, 3, 64, 64),
    "ResNet-50": classic(lambda: resnet((3, 4, 6, 3), True, base=16, inner=16), 2, 3, 64, 64),
    "ResNeXt-26 32x4d": classic(
        lambda: resnet((2, 2, 2, 2), True, 32, base=16, inner=64), 2, 3, 64, 64
    ),
    "DenseNet-121": classic(lambda: densenet121(8), 2, 3, 64, 64),
}
