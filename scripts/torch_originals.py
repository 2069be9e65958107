"""The four networks in PyTorch, to compare with: a stand-in for the code of a lab that trained there.

Written from the paper's Tables 1 and 2 and torchvision's ResNet-18, in PyTorch's own idiom; only
benchmarks and tests import it, and they need the torch extra.
"""

from __future__ import annotations

import torch
from torch import nn


class ResidualHalf(nn.Module):
    """Two convolutions and a shortcut; ``side`` is the kernel's extent over the leads, 1 or 3."""

    def __init__(self, channels: int, filters: int, stride: int, side: int, shortcut: str) -> None:
        super().__init__()
        step = (1 if side == 1 else stride, stride)
        window = {"kernel_size": (side, 3), "padding": (side // 2, 1), "bias": False}
        self.conv1 = nn.Conv2d(channels, filters, stride=step, **window)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, **window)
        self.bn2 = nn.BatchNorm2d(filters)
        self.path = shortcut
        if stride != 1 or channels != filters:
            project = nn.Conv2d(channels, filters, 1, stride=step, bias=False)
            setattr(self, shortcut, nn.Sequential(project, nn.BatchNorm2d(filters)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (getattr(self, self.path)(x) if hasattr(self, self.path) else x))


class Residual(nn.Module):
    """ResNet-18 with kernels of ``side`` leads (1 or as long as in time), optionally with a spatial convolution."""

    def __init__(self, *, image: bool, spatial: bool = False) -> None:
        super().__init__()
        self.image = image
        stem = {"kernel_size": 7, "stride": 2, "padding": 3} if image else {}
        self.conv1 = nn.Conv2d(
            1, 64, **(stem or {"kernel_size": (1, 7), "stride": (1, 2), "padding": (0, 3)}), bias=False
        )
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if image else nn.MaxPool2d((1, 3), (1, 2), (0, 1))
        side, shortcut, channels = (3, "downsample", 64) if image else (1, "shortcut", 64)
        for number, (filters, stride) in enumerate(((64, 1), (128, 2), (256, 2), (512, 2)), start=1):
            halves = [
                ResidualHalf(channels, filters, stride, side, shortcut),
                ResidualHalf(filters, filters, 1, side, shortcut),
            ]
            setattr(self, f"layer{number}", nn.Sequential(*halves))
            channels = filters
        if spatial:
            self.conv2 = nn.Conv2d(512, 512, (12, 1), bias=False)
            self.bn2 = nn.BatchNorm2d(512)
        self.fc = nn.Linear(512, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        if hasattr(self, "conv2"):
            x = torch.relu(self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


class MayoALVD(nn.Module):
    """Six temporal blocks, one spatial convolution, three linear layers."""

    def __init__(self) -> None:
        super().__init__()
        channels = 1
        self.pools = (2, 2, 4, 2, 2, 4)
        for number, (filters, size) in enumerate(
            zip((16, 16, 32, 32, 64, 64), (5, 5, 5, 3, 3, 3), strict=True), start=1
        ):
            setattr(self, f"temporal{number}_conv", nn.Conv2d(channels, filters, (1, size), padding=(0, size // 2)))
            setattr(self, f"temporal{number}_bn", nn.BatchNorm2d(filters))
            channels = filters
        self.spatial_conv, self.spatial_bn = nn.Conv2d(64, 128, (12, 1)), nn.BatchNorm2d(128)
        self.fc1, self.fc1_bn = nn.Linear(128, 64), nn.BatchNorm1d(64)
        self.fc2, self.fc2_bn = nn.Linear(64, 32), nn.BatchNorm1d(32)
        self.out = nn.Linear(32, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number, pool in enumerate(self.pools, start=1):
            conv, bn = getattr(self, f"temporal{number}_conv"), getattr(self, f"temporal{number}_bn")
            x = torch.max_pool2d(torch.relu(bn(conv(x))), (1, pool))
        x = torch.relu(self.spatial_bn(self.spatial_conv(x))).flatten(1)
        x = torch.relu(self.fc1_bn(self.fc1(x)))
        return self.out(torch.relu(self.fc2_bn(self.fc2(x))))


def build(name: str) -> nn.Module:
    """One of the four networks by its name on the command line; input (batch, 1, 12, 400)."""
    if name == "mayo-alvd":
        return MayoALVD()
    return Residual(image=name == "resnet18", spatial=name == "ecg-smart-net")
