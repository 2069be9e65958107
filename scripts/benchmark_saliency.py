#!/usr/bin/env python
"""How long saliency maps of 1,000 ECGs take for each network: tf-keras-vis as it comes, and as omi-keras calls it.

Weights and inputs are random; the seconds do not depend on them. Values are held against PyTorch's in tests.

    python scripts/benchmark_saliency.py [--ecgs 1000 --models ecg-smart-net mayo-alvd]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from tf_keras_vis.saliency import Saliency

from omi_keras.models.catalogue import NETWORKS, build
from omi_keras.saliency.maps import BATCH_SIZE, saliency_maps


def main() -> None:
    """Print a line per network; tf-keras-vis alone is measured on one batch and scaled up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ecgs", type=int, default=1000)
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    options = parser.parse_args()
    x = np.random.default_rng(0).normal(size=(options.ecgs, 12, 400)).astype(np.float32)
    for name in options.models:
        model = build(name)
        start = time.perf_counter()
        saliency_maps(model, x)
        ours = time.perf_counter() - start
        plain = Saliency(model)
        batch = x[:BATCH_SIZE, ..., None]
        start = time.perf_counter()
        plain(lambda logits: logits[:, 1], batch, keepdims=True, normalize_map=False)
        theirs = (time.perf_counter() - start) * options.ecgs / len(batch)
        print(
            f"{name:<20} {options.ecgs} ECGs: {ours:6.1f} s with compilation; tf-keras-vis alone about {theirs:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
