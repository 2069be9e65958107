"""Writes module.pt beside it, with PyTorch: a whole module, pickled as labs do, of a class that is nowhere else."""

import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import nn


class Network(nn.Module):
    """Every way in which a parameter lies in a file: tied, turned, cut out, 16 bits, not saved."""

    def __init__(self) -> None:
        super().__init__()
        rows = torch.arange(24.0).reshape(4, 6)
        self.first, self.norm = nn.Linear(6, 4), nn.BatchNorm1d(4)
        self.tied, self.turned = nn.Linear(6, 4), nn.Linear(2, 6)
        self.first.weight.data, self.first.bias.data = rows / 7, torch.arange(4.0) - 1.5
        self.norm.weight.data, self.norm.bias.data = torch.tensor([1, 0.5, -2, 3]), torch.arange(4.0) / 4
        self.tied.weight = self.first.weight
        self.tied.bias.data = torch.zeros(4)
        self.turned.weight.data, self.turned.bias.data = rows.T[:, 1:3], torch.ones(6)
        self.register_buffer("short", torch.tensor([0.1, 65504, -0.0]).half())
        self.register_buffer("brain", torch.tensor([1, -2.5, 3.140625]).bfloat16())
        self.register_buffer("window", torch.tensor([0.25, 0.5], dtype=torch.float64))
        self.register_buffer("cache", torch.rand(3), persistent=False)
        self.loss = nn.CrossEntropyLoss()
        self.history = [{"epoch": 1, "auc": 0.5}]


if __name__ == "__main__":
    lab = ModuleType("of_a_lab")
    Network.__module__ = "of_a_lab"
    lab.Network = Network
    sys.modules["of_a_lab"] = lab
    torch.save(Network(), Path(__file__).with_name("module.pt"))
