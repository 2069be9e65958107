"""Input contracts: what goes into a network, by name. Importing this costs no NumPy."""

from __future__ import annotations

from typing import Any

from omi_keras.recordings.errors import InputError

# The paper's input, and that of the weights which its authors' group published in 2025. The networks pool over time,
# so that the weights of either fit a network of the other: nothing but the contract tells them apart.
CONTRACT = "zscore-400"
MAXABS = "maxabs-200"
CONTRACTS = (CONTRACT, MAXABS)

_SAMPLES = {CONTRACT: 400, MAXABS: 200}
_SAMPLING_RATE = {CONTRACT: 500, MAXABS: 250}
_NORMALISATION = {
    CONTRACT: "z-score per lead, a flat lead becomes zeros",
    MAXABS: "400 samples resampled to 200 (FFT), each lead divided by its largest absolute value, a flat lead stays "
    "zero, aVR with its sign turned",
}


def input_shape(contract: str = CONTRACT) -> tuple[int, int, int]:
    """Leads, samples and channels of a model input: (12, 400, 1), or (12, 200, 1).

    Raises
    ------
    InputError
        When the contract is not one of :data:`CONTRACTS`.
    """
    if contract not in CONTRACTS:
        raise InputError(f"input contract {contract!r} is not known; there are {' and '.join(CONTRACTS)}", "contract")
    return 12, _SAMPLES[contract], 1


def input_details(contract: str = CONTRACT) -> dict[str, Any]:
    """What a model folder and a bundle say of the input, for a reader without this package."""
    return {
        "shape": list(input_shape(contract)),
        "dtype": "float32",
        "leads": ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"],
        "sampling_rate": _SAMPLING_RATE[contract],
        "window": "samples 150 to 549 of the 600-sample median beat in mV at 500 Hz, R peak at sample 300",
        "normalisation": _NORMALISATION[contract],
        "output": "2 logits: no OMI, OMI; P(OMI) = softmax[1]",
    }
