"""The demo's recordings: what their names say is what they are, and what is told of them is what was judged."""

import demo_ecgs
import demo_told
import pytest

import omi_keras as omi
from omi_keras.simulate import simulate_cohort


def test_names_say_what_the_ecgs_are(tmp_path):
    demo_ecgs.write(tmp_path / "ecgs", seed=5)
    expected = {}
    for number, ecg in enumerate(simulate_cohort(demo_ecgs.ECGS, demo_ecgs.ECGS, 0.5, 5), start=1):
        kind = ecg.truth.artery if ecg.plan.omi else ecg.truth.mimic
        expected[f"{'' if ecg.plan.omi else 'no-'}OMI{'-' * bool(kind)}{kind.replace(' ', '-')}-{number}"] = ecg
    assert {file.stem for file in (tmp_path / "ecgs").glob("*.hea")} == expected.keys()
    assert sum(name.startswith("OMI-") for name in expected) == demo_ecgs.ECGS // 2
    name, ecg = next(iter(expected.items()))
    read = omi.read_record(tmp_path / "ecgs" / f"{name}.hea")
    assert read.ecg_id == name and abs(read.signal - ecg.record.signal).max() < 0.003


def test_another_dozen_takes_the_place_of_the_one_before_and_of_nothing_else(tmp_path):
    ecgs = tmp_path / "ecgs"
    demo_ecgs.write(ecgs, seed=5)
    before = {file.name for file in ecgs.iterdir()}
    demo_ecgs.write(ecgs, seed=6)
    assert {file.name for file in ecgs.iterdir()} != before and len(list(ecgs.glob("*.hea"))) == demo_ecgs.ECGS
    (ecgs / "patient.hea").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match=r"patient\.hea, which no demo made"):
        demo_ecgs.write(ecgs, seed=5)
    assert len(list(ecgs.glob("*.hea"))) == demo_ecgs.ECGS + 1


@pytest.mark.parametrize(
    ("rows", "said", "both"),
    [
        ("OMI-a,0.9,1,\nOMI-b,0.8,1,\nno-OMI-c,0.95,1,\nOMI-d,0.4,0,\nOMI-e,0.1,0,\n", "OMI-a OMI-e", True),
        ("OMI-a,0.9,1,\nno-OMI-c,0.1,0,\n", "OMI-a", False),
        ("OMI-a,0.2,0,\nOMI-x,,,cannot be read\n", "OMI-a", False),
    ],
)
def test_who_is_found_and_who_is_missed(tmp_path, capsys, rows, said, both):
    table = tmp_path / "judged.csv"
    table.write_text("ecg_id,probability,decision,error\n" + rows, encoding="utf-8")
    assert demo_ecgs.told(table) == both
    assert " ".join(line.split()[1].strip(",") for line in capsys.readouterr().out.splitlines()) == said


def with_limits(**rates):
    return {f"{name}{end}": value for name, value in rates.items() for end in ("", "_lo", "_hi")}


def test_what_is_told_of_new_ecgs():
    size = {"ecgs": 1500, "patients": 1000, "omi": 383}
    equal = {"second": "STEMI criteria", "metric": "sensitivity at equal specificity", "second_value": 0.3}
    report = {
        "simulated": True,
        "metrics": [{"model": "net int8", **size, **with_limits(auc=0.786)}],
        "decisions": [
            {"model": "net int8", "rule": "operating point", **with_limits(sensitivity=0.64, specificity=0.79)},
            {"model": "net int8", "rule": "rule out", **with_limits(sensitivity=0.9, specificity=0.5)},
            {"model": "STEMI criteria", "rule": "as stated", **with_limits(sensitivity=0.3, specificity=0.95)},
        ],
        "comparison": [
            {"first": "net int8", **equal, "first_value": 0.41, "difference": 0.11, "lo": -0.03, "hi": 0.17},
            {"first": "net int8", "second": "STEMI criteria", "metric": "sensitivity"},
        ],
    }
    lines = demo_told.told(report).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("1,500 new simulated ECGs of 1,000 patients, 383 with OMI")
    assert "net int8" in lines[1] and "0.79 [0.79, 0.79]" in lines[1] and "0.64" in lines[1]
    assert "STEMI" in lines[2] and "AUC" not in lines[2] and "0.30" in lines[2] and "0.95" in lines[2]
    assert "net int8 finds 0.41, they find 0.30: +0.11 [-0.03, +0.17]" in lines[3]
