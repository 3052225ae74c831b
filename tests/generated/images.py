"""Steps on images (B, C, H, W), whose height varies or does not, and their way to features."""

from generated.scope import Unfit
from generated.weights import vector, weight


def convolution(s, h):
    width, kernel, stride = h.axes[1], s.choose(1, 2, 3), s.choose(1, 1, 2)
    group = s.choose(*(n for n in range(1, width + 1) if width % n == 0))
    mode = s.choose(
        "", ", padding=1", ", padding=1, padding_mode='circular'", ", dilation=2, padding=2",
        ", padding='same'" if stride == 1 else "",
    )  # fmt: skip
    options = f"{kernel}, {stride}, groups={group}{s.choose('', ', bias=False')}{mode}"
    return s.step(f"{s.hold(f'nn.Conv2d({width}, {s.size() * group}, {options})')}({h})")


def channels(s, h):
    """What is done channel by channel, or over the channels."""
    width = h.axes[1]
    seen = f"{h}.mean((2, 3), keepdim=True)"
    stats = f"affine=True, track_running_stats={s.choose(True, False)}"
    by_channel = s.choose(f"{width}, 1, 1", f"1, {width}, 1, 1")
    return s.line(
        lambda: f"{s.hold(f'nn.BatchNorm2d({width})')}({h})",
        lambda: f"{s.hold(f'nn.BatchNorm2d({width})')}({h}).relu()",
        lambda: f"{s.hold(f'nn.BatchNorm2d({width}, affine=False)')}({h})",
        lambda: f"{s.hold(f'nn.GroupNorm({s.choose(1, width)}, {width})')}({h})",
        lambda: f"{s.hold(f'nn.InstanceNorm2d({width}, {stats})')}({h})",
        f"{h}.relu()", f"{h}.relu()", f"F.gelu({h})", f"F.leaky_relu({h}, 0.2)", f"{h}.tanh()",
        lambda: f"{s.hold(f'nn.PReLU({width})')}({h})",
        lambda: f"{h} * {s.learned(width, 1, 1)}",
        lambda: f"{h} * {s.kept(f'torch.ones({by_channel})')}",
        lambda: f"{h} + {s.kept(f'torch.zeros({by_channel})')}",
        f"{h} * {seen}.sigmoid()",
        lambda: f"{h} * {s.hold(f'nn.Conv2d({width}, {width}, 1)')}({seen}).sigmoid()",
        f"{h}.softmax(1)",
        f"{h} - {h}.mean(1, keepdim=True)",
        lambda: f"{s.hold(f'nn.LayerNorm({width})')}({h}.movedim(1, -1)).movedim(-1, 1)",
        lambda: f"F.conv2d({h}, {s.learned(width, 1, 2, 2)}, padding=1, groups={width})",
        lambda: f"F.conv2d({h}, {weight(s, width, width)}[:, :, None, None])",
        lambda: f"F.batch_norm({h}, None, None, {vector(s, width)}, training=True)",
        lambda: f"F.dropout2d({h}, 0.5, False) * {s.learned()}",
        f"{h}.flatten(1).softmax(-1).view_as({h})",
    )  # fmt: skip


def resampled(s, h):
    width = h.axes[1]
    even = width % 2 == 0
    return s.line(
        f"F.max_pool2d({h}, 2, 1)", f"F.avg_pool2d({h}, 2, 1)", f"F.max_pool2d({h}, 3, 2, 1)",
        f"F.avg_pool2d({h}, 3, 1, 1)", f"F.pad({h}, (1, 1, 1, 1))", f"{h}.roll(1, 2)",
        f"F.pad({h}, (1, 0, 0, 1), mode='replicate')", f"F.pad({h}, (0, 0, 0, 0, 1, 1))",
        f"F.interpolate({h}, scale_factor=2)", f"{h}[:, :, ::2]", f"{h}.transpose(2, 3)",
        f"F.interpolate({h}, scale_factor=2, mode='bilinear')", f"{h}.flip(2)",
        lambda: f"F.conv_transpose2d({h}, {s.learned(width, s.size(), 2, 2)}, stride=2)",
        f"F.pixel_shuffle({h}, 2)" if width % 4 == 0 else f"{h}.flip(1)",
        f"F.channel_shuffle({h}, 2)" if even else f"{h}.roll(1, 1)",
        f"torch.cat([{h}, {h}.relu()], 1)", f"torch.cat([{h}[:, :1] * {h}, {h}], 1)",
        f"{h}.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)" if even else f"{h}.square()",
        f"{h}.chunk(2, 1)[0] * {h}.chunk(2, 1)[1]" if even else f"{h} * {h}.flip(1)",
        f"F.adaptive_avg_pool2d({h}, 2)", f"{h}.unfold(2, 2, 1).flatten(3)",
    )  # fmt: skip


def joined(s, h):
    """Two images of one shape."""
    other = s.earlier(lambda v: v.axes == h.axes and v != h)
    if other is None:
        raise Unfit("no other image of this shape")
    return s.line(
        f"{h} + {other}", f"{h} + {other}", f"torch.cat([{h}, {other}], 1)", f"{h} * {other}",
        f"torch.maximum({h}, {other})",
    )  # fmt: skip


def flat(s, h):
    """Images to features."""
    if any(isinstance(size, str) for size in h.axes[1:]):
        return s.line(
            f"{h}.mean((2, 3))", f"{h}.amax((2, 3))", f"F.adaptive_avg_pool2d({h}, 1).flatten(1)",
            f"F.adaptive_max_pool2d({h}, 2).flatten(1)",
        )  # fmt: skip
    return s.line(
        f"{h}.flatten(1)", f"{h}.flatten(1)", f"{h}.mean((2, 3))", f"{h}.sum(3).flatten(1)"
    )


IMAGES = {convolution: 5, channels: 7, resampled: 3, joined: 2, flat: 2}
