"""The ECGs to look at first: which they are, what is drawn of them, and the recordings that belong to them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from browser import chromium
from helpers import run_cli
from stand_ins import dataset, judge

import omi_keras as omi
from omi_keras.evaluation.comparison import FoldTest
from omi_keras.measures.one_beat import measure_beat
from omi_keras.model import Model
from omi_keras.report.at_hand import SAME_MV, recording_at_hand
from omi_keras.report.judges import judge_of_model
from omi_keras.report.looks import IN_SUBGROUP, MORE, first_looks
from omi_keras.report.validation import validate
from omi_keras.report.wrongest import FALSE_ALARM, MISSED, errors
from omi_keras.simulate import simulate_cohort, write_records


def judged(data, seed=0, threshold=0.5):
    """All ECGs of a dataset with probabilities that know nothing, some of them equal."""
    ecgs = data.ecgs
    probability = np.random.default_rng(seed).integers(0, 20, len(ecgs)) / 20
    return FoldTest(
        ecgs["ecg_id"].to_numpy(str),
        ecgs["omi"].to_numpy(int),
        probability,
        ecgs["patient_id"].to_numpy(str),
        threshold,
    )


def groups_of(data):
    return {"site": data.ecgs["site"].to_numpy(str), "year": data.ecgs["year"].to_numpy(str)}


def slowly(test, inside, most):
    """The worst of each error by one comparison after the other."""
    rows = [k for k in range(test.omi.size) if inside[k]]
    missed = [k for k in rows if test.omi[k] == 1 and test.probability[k] < test.threshold]
    false = [k for k in rows if test.omi[k] == 0 and test.probability[k] >= test.threshold]
    missed.sort(key=lambda k: test.probability[k])
    false.sort(key=lambda k: -test.probability[k])
    return {MISSED: (len(missed), missed[:most]), FALSE_ALARM: (len(false), false[:most])}


def probabilities(looks):
    return [look.probability for look in looks]


@pytest.mark.parametrize("seed", range(3))
def test_the_worst_come_first_in_all_ecgs_and_in_each_subgroup(seed):
    """Among equal probabilities any order will do; a slow search says which probabilities they are."""
    data = dataset()
    test, groups = judged(data, seed), groups_of(data)
    looks = first_looks(test, groups, data, 4)
    place = {name: k for k, name in enumerate(test.ecg_id)}
    for error, (_, rows) in slowly(test, np.ones(60, bool), 4).items():
        assert probabilities(looks.worst[error]) == test.probability[rows].tolist()
    assert {part.name for part in looks.subgroups} == {"site: A", "site: B", *(f"year: {y}" for y in range(2020, 2023))}
    for part in looks.subgroups:
        group, value = part.name.split(": ")
        expected = slowly(test, groups[group] == value, IN_SUBGROUP)
        assert part.counts == {error: count for error, (count, _) in expected.items()}
        for error, (_, rows) in expected.items():
            found = [look for look in part.worst if look.error == error]
            assert probabilities(found) == test.probability[rows].tolist()
            assert all(groups[group][place[look.ecg_id]] == value for look in found)
    for look in looks.drawn:
        row = place[look.ecg_id]
        assert look.error == (MISSED if test.omi[row] else FALSE_ALARM)
        assert look.probability == test.probability[row]


def test_a_subgroup_without_an_error_is_left_out():
    data = dataset()
    test = judged(data)
    right = groups_of(data)["year"] == "2020"
    probability = np.where(right, test.omi.astype(float), test.probability)
    test = FoldTest(test.ecg_id, test.omi, probability, test.patient_id, test.threshold)
    names = [part.name for part in first_looks(test, groups_of(data), data, 2).subgroups]
    assert names == ["site: A", "site: B", "year: 2021", "year: 2022"]


def test_the_picture_shows_the_beat_of_the_dataset_and_what_was_said_of_it():
    data = dataset(sex=["female", "male"] * 30, age=np.arange(20, 80), simulated=True)
    test = judged(data)
    for look in first_looks(test, {}, data, 3, bands={"rule_out": 0.1, "rule_in": 0.9}).drawn:
        row = int(look.ecg_id[1:])
        facts = data.ecgs.iloc[row]
        expected = measure_beat(np.array(data.beats[row]), rate=float("nan"), age=float(facts["age"]), sex=facts["sex"])
        assert look.picture.measures.stemi == expected.stemi
        np.testing.assert_array_equal(look.picture.measures.st_mv, expected.st_mv)
        svg = look.picture.svg()
        said = "OMI" if look.probability >= 0.5 else "no OMI"
        band = "rule-out" if look.probability < 0.1 else "rule-in" if look.probability >= 0.9 else "open"
        assert look.picture.title == f"ECG, {look.ecg_id}, P(OMI) {look.probability:.2f}, {said}, {band}"
        assert look.error in svg and "median beat only" in svg and "simulated ECG" in svg
        assert look.facts.startswith(f"age {facts['age']:g}, sex {facts['sex']}, site ")


def parts_of(page):
    """Ids of what opens, their pictures, what buttons lead to, and how many are open."""
    ids = re.findall(r'<details id="(e\d+)">', page)
    pictures = re.findall(r'<details id="(e\d+)"><summary>.*?</summary>\n<div class="ecg".*?><svg ', page)
    return ids, pictures, re.findall(r'data-to="(e\d+)"', page), len(re.findall(r"<details[^>]* open", page))


def test_each_ecg_is_drawn_once_and_nothing_is_open():
    found = validate([judge()], dataset(), pictures=3)
    page = found.html()
    ids, pictures, led_to, opened = parts_of(page)
    assert len(ids) == len(set(ids)) == len(found.looks.drawn) == page.count('class="ecg"')
    assert pictures == ids, "each opens on its picture"
    assert set(led_to) <= set(ids) and led_to, "a subgroup's worst are among all ECGs' worst"
    assert not opened
    assert {look.ecg_id for look in found.looks.drawn} == set(re.findall(r"Picture of (\w+)", page))
    # Who is drawn in one subgroup is listed in the others.
    listed = [look.number for part in found.looks.subgroups for look in part.worst]
    main = [look.number for worst in found.looks.worst.values() for look in worst]
    assert len(listed) + len(main) == len(ids) + len(led_to)


def test_many_subgroups_do_not_make_a_large_page():
    n = 360
    names = {f"column{k}": [str((row // 2 + k * (row % 7)) % 24) for row in range(n)] for k in range(4)}
    data = dataset(n, **names)
    groups = {name: data.ecgs[name].to_numpy(str) for name in names}
    looks = first_looks(judged(data), groups, data, 2)
    assert len(looks.drawn) == 4 + MORE
    listed = {look.ecg_id: look for part in looks.subgroups for look in part.worst}
    assert any(look.picture is None for look in listed.values()), "these are listed only"
    assert all(part.worst for part in looks.subgroups)
    # The worst of a subgroup are drawn before the second of any.
    firsts = [next((look for look in part.worst if look.error == MISSED), None) for part in looks.subgroups[:8]]
    assert all(look.picture is not None for look in firsts if look is not None)


def test_no_pictures_leave_the_table_and_say_so(tmp_path):
    found = validate([judge()], dataset(), pictures=0)
    page = found.html()
    assert found.looks is None and found.content["to_look_at_first"] is None
    assert "Missed OMI of lowest and false alarms of highest probability." in page
    assert '<div class="ecg"' not in page and "<details" not in page


def test_the_report_says_which_are_shown():
    found = validate([judge()], dataset(), pictures=2)
    told = json.loads(json.dumps(found.content["to_look_at_first"]))
    assert (told["pictures"], told["records"], told["notes"]) == (2, None, [])
    assert [ecg["ecg_id"] for ecg in told["ecgs"]] == [look.ecg_id for look in found.looks.drawn]
    assert told["ecgs"][0] == {
        "ecg_id": found.looks.worst[MISSED][0].ecg_id,
        "error": MISSED,
        "probability": found.looks.worst[MISSED][0].probability,
        "recording": False,
    }


def test_without_an_error_there_is_none():
    data = dataset()
    test = judged(data)
    right = FoldTest(test.ecg_id, test.omi, test.omi.astype(float), test.patient_id, 0.5)
    assert all(len(rows) == 0 for rows in errors(right).values())
    looks = first_looks(right, groups_of(data), data, 10)
    assert looks.drawn == [] and looks.subgroups == []


def test_in_a_browser_a_button_opens_the_picture_and_nothing_is_too_wide(tmp_path):
    """By the page's own script; a subgroup's picture opens the subgroup, too."""
    page = validate([judge()], dataset(), pictures=3).html()
    told = []
    tries = """
      const button=[...document.querySelectorAll("button[data-to]")].at(-1);
      const look=document.getElementById(button.dataset.to);
      const before=document.querySelectorAll("details[open]").length;button.click();
      const seen=look.open&&look.querySelector("svg").getBoundingClientRect().height>100;
      document.querySelectorAll("details").forEach(part=>part.open=true);
      const wide=document.documentElement.scrollWidth-document.documentElement.clientWidth;
      document.title="[["+[before,seen,document.activeElement===look.firstElementChild,wide]+"]]";"""
    # A page allows no script but its own; this one is added.
    policy = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', page)[0]
    file = tmp_path / "page.html"
    file.write_text(page.replace(policy, "").replace("</body>", f"<script>{tries}</script></body>"), encoding="utf-8")
    for width in (1400, 390):
        dom = chromium(tmp_path, f"--window-size={width},900", "--dump-dom", file.as_uri())
        told.append(re.search(r"<title>\[\[(.*?)\]\]</title>", dom)[1])
    assert told == ["0,true,true,0"] * 2


# -- what the network looks at ----------------------------------------------------------------------------------------


def test_a_model_shows_what_it_looks_at_and_a_bundle_does_not(monkeypatch):
    from small_network import small

    network = small("mayo_alvd")
    info = {"model": "mayo-alvd", "simulated": True, "threshold": 0.5, "metrics": {}, "provenance": {}}
    model = Model(info, network=network)
    found = validate([judge_of_model(model)], dataset(), pictures=1)
    assert found.looks.drawn
    for look in found.looks.drawn:
        row = int(look.ecg_id[1:])
        shares = omi.saliency.lead_contribution(model.saliency(dataset().beats[row : row + 1]))[0]
        drawn = [float(share) for share in re.findall(r'data-share="([^"]+)"', look.picture.svg())]
        np.testing.assert_allclose(drawn, shares, atol=1e-3)
        assert "model trained on simulated ECGs" in look.picture.svg()
    assert "Colours: the gradient" in found.html()
    assert judge().explain() is None
    plain = validate([judge()], dataset(), pictures=1)
    assert "data-share" not in plain.looks.drawn[0].picture.svg() and "Colours: the gradient" not in plain.html()


# -- recordings -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Simulated ECGs in memory, and as files: one is missing, one is another's, and one no median beat comes from."""
    folder = tmp_path_factory.mktemp("looks") / "records"
    ecgs = list(simulate_cohort(8, 8, 0.5, seed=3))
    write_records(ecgs, folder)
    beats = [omi.median_beat(ecg.record).beat for ecg in ecgs]
    names = [ecg.plan.ecg_id for ecg in ecgs]
    (folder / f"{names[1]}.hea").unlink()
    (folder / f"{names[2]}.dat").write_bytes((folder / f"{names[3]}.dat").read_bytes())
    data = (folder / f"{names[4]}.dat").read_bytes()
    (folder / f"{names[4]}.dat").write_bytes(bytes(len(data)))
    omi_ = [ecg.plan.omi for ecg in ecgs]
    made = omi.Dataset.from_arrays(np.stack(beats), omi_, names, ecg_id=names, simulated=True)
    return made, folder, names


def wrong(data):
    """Everything is an error."""
    ecgs = data.ecgs
    label = ecgs["omi"].to_numpy(int)
    return FoldTest(ecgs["ecg_id"].to_numpy(str), label, 1.0 - label, ecgs["patient_id"].to_numpy(str), 0.5)


def test_the_recording_stands_above_its_median_beat(cohort):
    data, folder, names = cohort
    looks = first_looks(wrong(data), {}, data, 8, records=folder)
    assert {look.ecg_id for look in looks.drawn} == set(names)
    for look in looks.drawn:
        bad = look.ecg_id in (names[1], names[2], names[4])
        assert (look.recording.record is None) == bad
        svg = look.picture.svg()
        assert ('data-part="strip"' in svg) != bad
        assert ("median beat only" in svg) == bad
        assert svg.count('data-part="beat"') == 12
    shown = [ecg["ecg_id"] for ecg in looks.content["ecgs"] if ecg["recording"]]
    assert set(shown) == set(names) - {names[1], names[2], names[4]}
    text = "\n".join(looks.notes)
    assert f"5 of 8 ECGs are drawn with their recording in {folder}." in text
    assert f"Not shown: {names[1]} not found in {folder}." in text
    assert f"Not shown: {names[2]}: the recording in {folder} has another median beat than the dataset (" in text
    assert f"Not shown: {names[4]}: " in text


def test_rounding_is_the_same_ecg_and_one_sample_that_is_elsewhere_is_not(cohort):
    data, folder, names = cohort
    beat = np.array(data.beats[0])
    assert recording_at_hand(folder, names[0], beat).record.ecg_id == names[0]
    assert recording_at_hand(folder, names[0], beat + 0.5 * SAME_MV).record is not None
    beat[7, 320] += 2 * SAME_MV
    found = recording_at_hand(folder, names[0], beat)
    assert found.record is None and "another median beat" in found.why


def test_a_name_that_leads_out_of_the_folder_opens_nothing(cohort, tmp_path):
    data, folder, names = cohort
    inner = folder / "inner"
    inner.mkdir(exist_ok=True)
    found = recording_at_hand(inner, f"../{names[0]}", np.array(data.beats[0]))
    assert found.record is None and "below the data folder" in found.why


def test_many_that_are_not_there_are_counted(cohort, tmp_path):
    data, _, _ = cohort
    looks = first_looks(wrong(data), {}, data, 8, records=tmp_path)
    assert looks.notes[0].startswith("0 of 8") and len(looks.notes) == 7
    assert looks.notes[-1] == "Nor are the recordings of 3 more."
    assert "median beat of each ECG" in validate([judge()], dataset(), pictures=1, records=tmp_path).html()


@pytest.mark.parametrize("pictures", [-1, 2.0, True, "3"])
def test_impossible_numbers_are_refused(pictures):
    with pytest.raises(omi.InputError, match="pictures: expected a number from 0"):
        validate([judge()], dataset(), pictures=pictures)


def test_a_folder_of_records_must_be_one(tmp_path, easy_dataset):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(omi.InputError, match="file is not a folder of recordings"):
        validate([judge()], dataset(), records=tmp_path / "file")
    for arguments in (("evaluate", tmp_path), ("validate", tmp_path)):
        result = run_cli(*arguments, tmp_path / "out", "--pictures", "-1")
        assert result.exit_code == 2 and "--pictures" in result.output
