"""ImageNet weights for the residual blocks of ResNet-18 (paper section II.A)."""

from __future__ import annotations
