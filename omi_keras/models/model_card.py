"""``MODEL_CARD.md``: what a model is for, what it was made of and how well it did, for whoever is handed it.

Written from ``model.json`` alone, after Mitchell et al. 2019 (Model Cards for Model Reporting). It is for people,
and in a model folder in no list of checksums: its licence is stated by whoever shares the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omi_keras.models.card_results import bands_lines, calibration_lines, metrics_lines, subgroups_lines
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.models.markdown import UNKNOWN, code, inside, kind_of_ecgs, listed, mapping, number, plain_text, share

CARD = "MODEL_CARD.md"
LICENCE = "Licence: to be stated by whoever shares this model."
_WHAT = {
    "ecg-smart-net": "temporal residual blocks within each lead, then one convolution across the leads (ECG-SMART-NET)",
    "temporal-resnet18": "ResNet-18 with kernels along time only",
    "resnet18": "ResNet-18 on the ECG as an image",
    "mayo-alvd": "the Mayo Clinic's network for left ventricular dysfunction, trained for OMI",
    "random-forest": "a random forest on engineered features of the median beat",
}
# What a bundle's manifest says of the model; nothing of where files lay.
_TOLD = (
    "model", "members", "folds", "fold", "input", "input_details", "simulated", "threshold", "bands", "bands_details",
    "metrics", "intervals", "subgroups", "data", "judged", "selected_by", "selected_from_folds", "left_out", "licence",
)  # fmt: skip
_PROVENANCE = (
    "imported_from",
    "checkpoint_sha256",
    "n_folds",
    "split_column",
    "seed",
    "epochs",
    "balance",
    "start_sha256",
    "augment",
    "loss",
    "label_smoothing",
    "dropout",
    "training_fraction",
    "versions",
)
# What the paper did without, as it is where nobody asked for it.
_PLAIN = {"augment": "none", "loss": "plain", "label_smoothing": 0.0, "dropout": 0.0}


def told_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """What a bundle's manifest says of its model, for the card: ``model.json`` without paths and without weights."""
    found = {name: info[name] for name in _TOLD if name in info}
    provenance = mapping(info.get("provenance"))
    found["provenance"] = {name: provenance[name] for name in (*_PROVENANCE, "dataset_sha256") if name in provenance}
    if isinstance(start := provenance.get("start"), dict):
        found["provenance"]["start"] = {"simulated": start.get("simulated")}
    if isinstance(calibration := info.get("calibration"), dict):
        left_out = ("read_out", "dataset", "before")
        found["calibration"] = {name: value for name, value in calibration.items() if name not in left_out}
    return found


def model_card(info: Mapping[str, Any], bundle: Mapping[str, Any] | None = None) -> str:
    """The text of a card, the same for the same ``info``.

    Parameters
    ----------
    info
        Content of ``model.json``, or what :func:`told_of` left of it; what is missing is told as not known.
    bundle
        The manifest of a bundle with this model, when the card is the bundle's.
    """
    members = info.get("members", 1)
    several = f", ensemble of {members}" if members != 1 else ""
    licence = info.get("licence")
    parts = {
        f"# Model card: {plain_text(info.get('model'))}{several}": [
            "**Research software, not a medical device.**",
            *(["", f"**{_what_is_simulated(info)}: no number here says anything about patients.**"] * _simulated(info)),
        ],
        "## Licence": [f"Licence: {plain_text(licence)}" if licence else LICENCE],
        "## Model": _model(info),
        "## What it is for": _purpose(info),
        "## What it was trained on": _data(info),
        "## How well it did": metrics_lines(info),
        "## Subgroups": subgroups_lines(info),
        "## Operating point and bands": bands_lines(info),
        "## Calibration": calibration_lines(info),
        "## Limits": _limits(info),
        "## Where it comes from": _provenance(info),
    }
    if bundle is not None:
        parts["## This bundle"] = _bundle(bundle)
    return "\n".join(line for heading, lines in parts.items() for line in (heading, "", *lines, "")).rstrip("\n") + "\n"


def _simulated(info: Mapping[str, Any]) -> bool:
    return info.get("simulated") is True


def _trained_on_simulated(info: Mapping[str, Any]) -> bool:
    """Its own training, whatever it was recalibrated by or exported with."""
    said = inside(info, "data.simulated")
    return not _imported(info) and (said if isinstance(said, bool) else _simulated(info))


def _what_is_simulated(info: Mapping[str, Any]) -> str:
    return "Trained on simulated ECGs" if _trained_on_simulated(info) else "Made with simulated ECGs after its training"


def _imported(info: Mapping[str, Any]) -> bool:
    return inside(info.get("provenance"), "imported_from") is not None


def _model(info: Mapping[str, Any]) -> list[str]:
    name, members = str(info.get("model")), info.get("members", 1)
    lines = [f"- What: {_WHAT.get(name, plain_text(name))}."]
    if members != 1:
        mean = "probabilities of the forests" if name == RANDOM_FOREST else "logits of the networks"
        folds = ", ".join(plain_text(fold) for fold in listed(info.get("folds")))
        cost = f"it takes {members} times the space and time of one"
        lines.append(f"- Ensemble: the mean of the {mean} of {members} folds ({folds}); {cost}.")
    elif (column := inside(info.get("provenance"), "split_column")) is not None:
        lines.append(f"- Trained, validated and tested on the ECGs that column {plain_text(column)} says.")
    elif "fold" in info:
        by, n_folds = info.get("selected_by"), inside(info.get("provenance"), "n_folds")
        tried = len(listed(info.get("selected_from_folds"))) or UNKNOWN
        best = f"of the {tried} finished, the one with the best {plain_text(by)} score"
        lines.append(f"- Of fold {plain_text(info['fold'])} of {plain_text(n_folds)}; {best}.")
    if (left_out := info.get("left_out")) is not None:
        lines.append(f"- Trained without {plain_text(left_out)}, on which it was tested.")
    if inside(info.get("provenance"), "start_sha256") is not None:
        lines.append("- Fine-tuned: its training went on from another model.")
    if info.get("model") != RANDOM_FOREST and (unusual := _unusual(info)):
        lines.append(f"- Its training had what the paper's had not: {unusual}.")
    details = mapping(info.get("input_details"))
    if name == RANDOM_FOREST:
        lines.append("- Input: a 12-lead median beat in mV at 500 Hz, whose features are measured and go in.")
        return [*lines, "- Output: P(OMI)."]
    lines.append(f"- Input contract {code(info.get('input'))}: {_sentence(details.get('window'))}; "
                 f"{_sentence(details.get('normalisation'))}.")  # fmt: skip
    return [*lines, "- Output: two logits, no OMI and OMI; P(OMI) is the second of their softmax."]


def _unusual(info: Mapping[str, Any]) -> str:
    """What its training did that the paper's did not."""
    given = mapping(info.get("provenance"))
    changed = {name: given[name] for name, plain in _PLAIN.items() if given.get(name, plain) != plain}
    return ", ".join(f"{name.replace('_', ' ')} {plain_text(value)}" for name, value in changed.items())


def _sentence(value: Any) -> str:
    """A sentence of this package's own."""
    return str(value) if isinstance(value, str) else UNKNOWN


def _purpose(info: Mapping[str, Any]) -> list[str]:
    return [
        "- For: research on finding occlusion myocardial infarction (OMI, a blocked coronary artery) in 12-lead "
        "resting ECGs of adults with suspected acute coronary syndrome; comparing methods; teaching.",
        "- Not for: decisions about patients. It is not cleared by any authority, and a probability is no diagnosis.",
        "- Not for: other leads, exercise ECGs, rhythm strips, or anything that cannot give a median beat of all "
        "twelve leads.",
    ]  # fmt: skip


def _data(info: Mapping[str, Any]) -> list[str]:
    if _imported(info):
        return ["What it was trained on is not known: it was imported, and the file of its weights does not say."]
    data = mapping(info.get("data"))
    lines = [f"- {'Simulated' if _trained_on_simulated(info) else 'Recorded'} ECGs."]
    if isinstance(start := inside(info.get("provenance"), "start"), dict):
        kind = kind_of_ecgs(start.get("simulated"))
        lines.append(
            f"- The model that its training went on from had learned from {kind} ECGs, which are not counted here."
        )
    if not data:
        return [*lines, "- Numbers of ECGs and patients: not known to this folder."]
    if (part := inside(info.get("provenance"), "training_fraction")) not in (None, 1.0):
        lines.append(
            f"- Of the training part, {share(part)} of the patients were learned from (a learning curve); "
            f"labelled ECGs, sites and ages below are of all."
        )
    lines.append(f"- {number(data.get('ecgs'))} labelled ECGs of {number(data.get('patients'))} patients: training, "
                 "validation and test together.")  # fmt: skip
    omi, prevalence = data.get("omi"), data.get("prevalence")
    lines.append(f"- OMI: {number(omi)} ECGs ({share(prevalence)})." if omi is not None else "- OMI: number not known.")
    for part, seen in mapping(data.get("parts")).items():
        counts = f"{number(inside(seen, 'ecgs'))} ECGs, {number(inside(seen, 'omi'))} with OMI"
        lines.append(f"- {plain_text(part).capitalize()}: {counts}.")
    if "sites" not in data:
        return [
            *lines,
            "- Sites, years, age and sex: not known; the dataset was not at hand when the model was selected.",
        ]
    for name in ("sites", "years", "sex"):
        counts = ", ".join(f"{plain_text(value)} {number(count)}" for value, count in mapping(data.get(name)).items())
        lines.append(f"- {name.capitalize()}: {counts or 'not recorded'}.")
    age = mapping(data.get("age"))
    if age.get("median") is None:
        return [*lines, "- Age: not recorded."]
    q1, median, q3 = (number(age.get(name)) for name in ("q1", "median", "q3"))
    unknown = f"not recorded of {number(age.get('unknown'))} ECGs"
    return [*lines, f"- Age: median {median} years (quartiles {q1} and {q3}), {unknown}."]


def _limits(info: Mapping[str, Any]) -> list[str]:
    lines = [
        "- It sees one median beat: no rhythm, no earlier ECG, no symptoms, no laboratory.",
        "- At other hospitals, with other devices and patients, models of this kind have done clearly worse than where "
        "they were made. Judge it on local ECGs that it never saw (`omi-keras validate`) before anything else.",
    ]  # fmt: skip
    if _simulated(info):
        lines.append("- Simulated ECGs are simpler than patients'.")
    if _imported(info):
        lines.append("- Nobody can tell here whose ECGs it has learned from, and so whether a test of it is fair.")
    sites = inside(info, "data.sites")
    if isinstance(sites, dict) and len(sites) == 1:
        lines.append("- All of its ECGs are of one site.")
    judged_parts, chosen_of = mapping(info.get("metrics")), listed(info.get("selected_from_folds"))
    if info.get("selected_by") == "test" and "test" in judged_parts and len(chosen_of) != 1:
        lines.append("- Its fold was chosen by the test score, so the test numbers above are too good.")
    elif info.get("selected_by") is not None and "validation" in judged_parts:
        what = "candidate" if info.get("model") == RANDOM_FOREST else "epoch"
        fold = "" if len(chosen_of) == 1 else ", its fold"
        chosen = f"its {what}{fold} and its threshold were chosen on these ECGs"
        lines.append(f"- Too good are the validation numbers above: {chosen}.")
    if isinstance(judged := info.get("judged"), str):
        lines.append(f"- {judged}")
    for sentence in listed(inside(info, "calibration.cannot_know")):
        lines.append(f"- Not known from its local ECGs: {_sentence(sentence)}.")
    return lines


def _provenance(info: Mapping[str, Any]) -> list[str]:
    provenance = mapping(info.get("provenance"))
    lines = []
    if _imported(info):
        lines.append(f"- Imported from {plain_text(provenance['imported_from'])}; SHA-256 of the checkpoint: "
                     f"{code(provenance.get('checkpoint_sha256'))}.")  # fmt: skip
    else:
        for file, value in sorted(mapping(provenance.get("dataset_sha256")).items()):
            lines.append(f"- SHA-256 of the dataset's {plain_text(file)}: {code(value)}.")
        lines.append(f"- Seed {plain_text(provenance.get('seed'))}.")
    if (start := provenance.get("start_sha256")) is not None:
        lines.append(f"- SHA-256 of the weights that training went on from: {code(start)}.")
    for file, value in sorted(mapping(inside(info, "calibration.dataset_sha256")).items()):
        lines.append(f"- SHA-256 of the {plain_text(file)} that it was recalibrated by: {code(value)}.")
    for file, value in sorted(mapping(info.get("sha256")).items()):
        lines.append(f"- SHA-256 of {code(file)}: {code(value)}.")
    for what, found in (("Trained", provenance.get("versions")), ("Written", info.get("versions"))):
        if isinstance(found, dict):
            lines.append(f"- {what} with {', '.join(f'{plain_text(k)} {plain_text(v)}' for k, v in found.items())}.")
    return lines


def _bundle(manifest: Mapping[str, Any]) -> list[str]:
    kept = ", ".join(manifest["float_layers"])
    lines = [
        f"- Format: {plain_text(manifest.get('quantization'))}{f', in float: {plain_text(kept)}' if kept else ''}."
    ]
    for part, seen in manifest["parity"].items():
        which = f"{number(seen['n'])} ECGs ({plain_text(part.replace('_', ' '))})"
        apart = f"P(OMI) differs by {seen['max_delta']:.2g} at most, {seen['flips']:.2%} of decisions differ"
        lines.append(f"- Against the trained model, on {which}: {apart}.")
    lines.append(f"- SHA-256 of the weights that it was made from: "
                 f"{code(inside(manifest.get('provenance'), 'model_sha256'))}.")  # fmt: skip
    return lines
