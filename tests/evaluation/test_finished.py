"""Every number of a validation against a slow computation of its own."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize
from scipy.stats import binomtest

from omi_keras.evaluation.calibration_fit import NEAREST, calibration_fit, logits
from omi_keras.evaluation.finished import (
    COMPARISON_COLUMNS,
    DECISIONS_COLUMNS,
    EQUAL,
    FALSE,
    METRICS_COLUMNS,
    PREDICTIONS_COLUMNS,
    Answers,
    FinishedModels,
)
from omi_keras.evaluation.paired_rates import at_equal_specificity, mcnemar_by_patients, paired_rate
from omi_keras.evaluation.proportions import proportion_interval

BANDS = {"rule_out": 0.2, "rule_in": 0.7}


@pytest.fixture(scope="module")
def judged() -> FinishedModels:
    """90 ECGs of 60 patients, ties among the probabilities; a reader who is silent about some."""
    rng = np.random.default_rng(5)
    patient = np.concatenate([np.arange(60), rng.integers(60, size=30)])
    omi = (rng.random(60) < 0.3)[patient].astype(int)
    good = np.round(1 / (1 + np.exp(-rng.normal(2.4 * omi - 1.4, 1.2))), 2)
    poor = np.round(1 / (1 + np.exp(-rng.normal(1.0 * omi - 0.5, 1.0))), 2)
    stemi = (rng.random(90) < 0.1 + 0.3 * omi).astype(float)
    reader = np.where(rng.random(90) < 0.2, np.nan, (rng.random(90) < 0.15 + 0.5 * omi).astype(float))
    return FinishedModels(
        np.array([f"e{k}" for k in range(90)]), omi, np.array([f"p{k}" for k in patient]),
        {"good": Answers(good, 0.45, BANDS), "poor": Answers(poor, 0.5, {"rule_out": None, "rule_in": 0.8})},
        {"STEMI criteria": stemi, "reader": reader},
        {"site": np.array(["A", "B"])[patient % 2], "STEMI criteria": np.where(stemi == 1, "met", "not met")},
        True, resamples=200, seed=3,
    )  # fmt: skip


def pairs_auc(omi, p):
    won = [float(a > b) + 0.5 * (a == b) for a in p[omi == 1] for b in p[omi == 0]]
    return sum(won) / len(won)


def slow_ap(omi, p):
    """Precision at each threshold, weighed by the recall that it adds."""
    total, before = 0.0, 0.0
    for limit in sorted(set(p), reverse=True):
        above = p >= limit
        recall = omi[above].sum() / omi.sum()
        total += (recall - before) * omi[above].sum() / above.sum()
        before = recall
    return total


def cox(omi, p):
    """Slope with a free intercept, and intercept with slope 1, by a general optimiser."""
    x = np.log(p / (1 - p))

    def loss(a, b):
        return np.sum(np.logaddexp(0, np.where(omi == 1, -1, 1) * (a + b * x)))

    both = minimize(lambda q: loss(*q), [0, 1], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-13})
    large = minimize(lambda q: loss(q[0], 1), [0], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-13})
    return both.x[1], large.x[0]


def test_metrics(judged):
    table = judged.metrics
    assert tuple(table.columns) == METRICS_COLUMNS
    for row in table.to_dict("records"):
        p, omi = judged.models[row["model"]].probability, judged.omi
        assert (row["ecgs"], row["patients"], row["omi"]) == (90, 60, omi.sum())
        assert row["auc"] == pytest.approx(pairs_auc(omi, p), abs=1e-12)
        assert row["ap"] == pytest.approx(slow_ap(omi, p), abs=1e-12)
        assert row["brier"] == pytest.approx(sum((a - b) ** 2 for a, b in zip(p, omi, strict=True)) / 90, abs=1e-12)
        slope, intercept = cox(omi, p)
        assert row["calibration_slope"] == pytest.approx(slope, abs=1e-6)
        assert row["calibration_intercept"] == pytest.approx(intercept, abs=1e-6)
        assert row["auc_lo"] < row["auc"] < row["auc_hi"] and row["ap_lo"] < row["ap"] < row["ap_hi"]
        assert row["simulated"] is True


def test_intervals_of_auc_are_percentiles_over_resampled_patients(judged):
    """By copying the ECGs of each drawn patient, with the draws of the seed."""
    names = np.unique(judged.patient_id)
    rng = np.random.default_rng(judged.seed)
    found = {"auc": [], "ap": []}
    p = judged.models["good"].probability
    for drawn in rng.integers(60, size=(200, 60)):
        rows = np.concatenate([np.flatnonzero(judged.patient_id == names[k]) for k in drawn])
        found["auc"].append(pairs_auc(judged.omi[rows], p[rows]))
        found["ap"].append(slow_ap(judged.omi[rows], p[rows]))
    row = judged.metrics.set_index("model").loc["good"]
    for name, values in found.items():
        assert [row[f"{name}_lo"], row[f"{name}_hi"]] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=1e-12)


def test_predictions(judged):
    table = judged.predictions
    assert tuple(table.columns) == PREDICTIONS_COLUMNS
    for row in table.to_dict("records"):
        p, of = row["probability"], judged.models[row["model"]]
        assert row["decision"] == (1 if p >= of.threshold else 0)
        out, into = of.bands["rule_out"], of.bands["rule_in"]
        expected = "rule-in" if p >= into else "rule-out" if out is not None and p < out else "open"
        assert row["band"] == expected
    assert set(table["band"]) == {"rule-in", "rule-out", "open"}
    assert table["ecg_id"].tolist() == judged.ecg_id.tolist() * 2
    assert set(Answers(np.array([0.1, 0.9]), 0.5).band) == {""}


def counted(omi, alarm):
    """TP, FP, FN, TN one ECG at a time."""
    found = dict.fromkeys([(a, b) for a in (0, 1) for b in (0, 1)], 0)
    for label, said in zip(omi, alarm, strict=True):
        found[int(label), int(said)] += 1
    return found[1, 1], found[0, 1], found[1, 0], found[0, 0]


def slow_matched(omi, p, stated):
    """The alarm of the most ECGs, above one of the probabilities, with no more false alarms than is stated."""
    allowed = int(((omi == 0) & (stated == 1)).sum())
    limits = [limit for limit in set(p) if ((omi == 0) & (p >= limit)).sum() <= allowed]
    return p >= min(limits) if limits else np.zeros(p.size, bool)


def test_decisions(judged):
    table = judged.decisions
    assert tuple(table.columns) == DECISIONS_COLUMNS
    every = np.ones(90, bool)
    expected = {
        ("good", "operating point"): (judged.models["good"].probability >= 0.45, every),
        ("good", "rule out"): (judged.models["good"].probability >= 0.2, every),
        ("good", "rule in"): (judged.models["good"].probability >= 0.7, every),
        ("poor", "operating point"): (judged.models["poor"].probability >= 0.5, every),
        ("poor", "rule in"): (judged.models["poor"].probability >= 0.8, every),
    }
    for name, stated in judged.comparators.items():
        known = ~np.isnan(stated)
        expected[name, "as stated"] = stated == 1, known
        for model, of in judged.models.items():
            alarm = np.zeros(90, bool)
            alarm[known] = slow_matched(judged.omi[known], of.probability[known], stated[known])
            expected[model, f"at the specificity of {name}"] = alarm, known
    assert set(expected) == set(zip(table["model"], table["rule"], strict=True))
    for row in table.to_dict("records"):
        alarm, known = expected[row["model"], row["rule"]]
        tp, fp, fn, tn = counted(judged.omi[known], alarm[known])
        names = ("true_positive", "false_positive", "false_negative", "true_negative")
        assert tuple(row[name] for name in names) == (tp, fp, fn, tn)
        assert row["ecgs"] == tp + fp + fn + tn
        assert row["patients"] == len(set(judged.patient_id[known]))
        assert row["sensitivity"] == pytest.approx(tp / (tp + fn))
        assert row["specificity"] == pytest.approx(tn / (tn + fp))
        assert row["ppv"] == pytest.approx(tp / (tp + fp))
        assert row["npv"] == pytest.approx(tn / (tn + fn))
        assert row["alarm_share"] == pytest.approx((tp + fp) / row["ecgs"])
        assert row[FALSE] == pytest.approx(100 * fp / row["ecgs"])
        low, high = proportion_interval((judged.omi[known] == 0) & alarm[known], judged.patient_id[known])
        assert (row[f"{FALSE}_lo"], row[f"{FALSE}_hi"]) == pytest.approx((100 * low, 100 * high))


def sign_patterns(first, second, patient):
    """McNemar's p by patients, all 2ᵏ patterns written out."""
    of_each = [int(first[patient == k].sum()) - int(second[patient == k].sum()) for k in set(patient)]
    seen, sums = abs(sum(of_each)), []
    for signs in product((-1, 1), repeat=len(of_each)):
        sums.append(sum(s * d for s, d in zip(signs, of_each, strict=True)))
    return np.mean([abs(total) >= seen for total in sums])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mcnemar_by_patients_counts_every_pattern(data):
    n = data.draw(st.integers(1, 25))
    flags = st.lists(st.booleans(), min_size=n, max_size=n)
    first, second = np.array(data.draw(flags)), np.array(data.draw(flags))
    patient = np.array(data.draw(st.lists(st.integers(0, 8), min_size=n, max_size=n)))
    assert mcnemar_by_patients(first, second, patient) == pytest.approx(sign_patterns(first, second, patient))


def test_one_ecg_a_patient_is_mcnemars_exact_test():
    first, second = np.array([1] * 12 + [0] * 3 + [1] * 20, bool), np.array([0] * 12 + [1] * 3 + [1] * 20, bool)
    found = mcnemar_by_patients(first, second, np.arange(35))
    assert found == pytest.approx(binomtest(3, 15).pvalue)
    assert found == pytest.approx(2 * sum(comb(15, k) for k in range(4)) / 2**15)
    assert mcnemar_by_patients(first, first, np.arange(35)) == 1
    # Copies of one patient's ECG are no new evidence.
    copies = np.repeat(np.arange(35), 4)
    assert mcnemar_by_patients(np.repeat(first, 4), np.repeat(second, 4), copies) == pytest.approx(found)
    assert 0 < mcnemar_by_patients(np.ones(3000, bool), np.zeros(3000, bool), np.arange(3000)) < 1e-300


def test_comparison(judged):
    table = judged.comparison
    assert tuple(table.columns) == COMPARISON_COLUMNS
    rows = {(row["first"], row["second"], row["metric"]): row for row in table.to_dict("records")}
    assert len(rows) == 2 + 2 + 2 * 2 * 3 == len(table)
    everything = {name: (of.alarm, np.ones(90, bool)) for name, of in judged.models.items()}
    everything |= {name: (stated == 1, ~np.isnan(stated)) for name, stated in judged.comparators.items()}
    for (first, second, metric), row in rows.items():
        known = of_both = everything[first][1] & everything[second][1]
        if metric in ("auc", "ap"):
            slow = pairs_auc if metric == "auc" else slow_ap
            values = [slow(judged.omi, judged.models[name].probability) for name in (first, second)]
        else:
            label = 0 if metric == "specificity" else 1
            one, other = everything[first][0].copy(), everything[second][0]
            if metric == EQUAL:
                p = judged.models[first].probability
                one[known] = slow_matched(judged.omi[known], p[known], judged.comparators[second][known])
            known = of_both & (judged.omi == label)
            right = [(alarm == bool(label))[known] for alarm in (one, other)]
            values = [np.mean(part) for part in right]
            patient = np.unique(judged.patient_id[known], return_inverse=True)[1]
            of_each = np.array([right[0][patient == k].sum() - right[1][patient == k].sum() for k in set(patient)])
            if metric == EQUAL:
                known = of_both
            else:
                assert row["p"] == pytest.approx(slow_p(of_each))
        assert (row["ecgs"], row["patients"]) == (known.sum(), len(set(judged.patient_id[known])))
        assert (row["first_value"], row["second_value"]) == pytest.approx(values)
        assert row["difference"] == pytest.approx(values[0] - values[1])
        assert row["lo"] <= row["difference"] <= row["hi"]
    order = np.argsort(table["p"].to_numpy())
    slow, running = np.empty(len(table)), 0.0
    for place, row in enumerate(order):
        running = max(running, (len(table) - place) * table["p"][row])
        slow[row] = min(1, running)
    assert table["p_holm"].to_numpy() == pytest.approx(slow)


def slow_p(of_each):
    """As :func:`sign_patterns`, for many patients: sums and how many patterns give them."""
    ways = {0: 1}
    for d in of_each.tolist():
        new = {}
        for total, count in ways.items():
            for moved in (total + d, total - d):
                new[moved] = new.get(moved, 0) + count
        ways = new
    far = sum(count for total, count in ways.items() if abs(total) >= abs(int(of_each.sum())))
    return far / 2 ** len(of_each)


def test_intervals_of_differences_are_percentiles_over_resampled_patients(judged):
    stated = judged.comparators["STEMI criteria"]
    p = judged.models["good"].probability
    names = np.unique(judged.patient_id)
    equal = []
    for drawn in np.random.default_rng(judged.seed).integers(60, size=(200, 60)):
        rows = np.concatenate([np.flatnonzero(judged.patient_id == names[k]) for k in drawn])
        omi = judged.omi[rows]
        matched = slow_matched(omi, p[rows], stated[rows])
        equal.append(matched[omi == 1].mean() - (stated[rows] == 1)[omi == 1].mean())
    table = judged.comparison.query("first == 'good' and second == 'STEMI criteria'").set_index("metric")
    row = table.loc[EQUAL]
    assert [row["lo"], row["hi"]] == pytest.approx(np.percentile(equal, [2.5, 97.5]))
    not_more, not_less = (sum(sign * d <= 0 for d in equal) for sign in (1, -1))
    assert row["p"] == pytest.approx(min(1, 2 * (1 + min(not_more, not_less)) / 201))
    assert row["method"] == "patient bootstrap"

    inside = judged.omi == 1
    of, names = judged.patient_id[inside], np.unique(judged.patient_id[inside])
    more = (p >= 0.45)[inside].astype(float) - (stated == 1)[inside]
    found = []
    for drawn in np.random.default_rng(judged.seed).integers(len(names), size=(200, len(names))):
        found.append(np.mean(np.concatenate([more[of == names[k]] for k in drawn])))
    row = table.loc["sensitivity"]
    assert [row["lo"], row["hi"]] == pytest.approx(np.percentile(found, [2.5, 97.5]))


def test_calibration_and_decision_curve(judged):
    for name, of in judged.models.items():
        curve = judged.calibration[judged.calibration["model"] == name]
        assert curve["ecgs"].sum() == 90 and curve["omi"].sum() == judged.omi.sum()
        order, start = np.argsort(of.probability, kind="stable"), 0
        for row in curve.to_dict("records"):
            inside = order[start : start + row["ecgs"]]
            start += row["ecgs"]
            assert row["probability"] == pytest.approx(of.probability[inside].mean())
            assert row["observed"] == pytest.approx(judged.omi[inside].mean())
    rules = {name: of.probability for name, of in judged.models.items()}
    rules |= {
        "STEMI criteria": judged.comparators["STEMI criteria"],
        "treat all": np.ones(90),
        "treat none": np.zeros(90),
    }
    assert set(judged.decision_curve["rule"]) == set(rules), "the reader is silent about some ECGs"
    for row in judged.decision_curve.to_dict("records"):
        t = row["threshold"]
        tp, fp, _, _ = counted(judged.omi, rules[row["rule"]] >= t)
        assert row["net_benefit"] == pytest.approx(tp / 90 - fp / 90 * t / (1 - t))


def test_subgroups(judged):
    table = judged.subgroups
    assert table.columns[0] == "model"
    groups = {("all", ""): np.ones(90, bool)}
    groups |= {(name, value): values == value for name, values in judged.groups.items() for value in set(values)}
    assert set(zip(table["group"], table["value"], strict=True)) == set(groups)
    for row in table.to_dict("records"):
        of, inside = judged.models[row["model"]], groups[row["group"], row["value"]]
        tp, fp, fn, tn = counted(judged.omi[inside], of.alarm[inside])
        assert row["ecgs"] == inside.sum() and row["omi"] == tp + fn
        assert row["sensitivity"] == pytest.approx(tp / (tp + fn)) and row["specificity"] == pytest.approx(
            tn / (tn + fp)
        )
        assert row["auc"] == pytest.approx(pairs_auc(judged.omi[inside], of.probability[inside]))


def test_the_fit_finds_what_the_probabilities_were_made_with():
    """Labels drawn from a + b · logit: the slope is b within its interval, in 19 of 20 cohorts."""
    rng = np.random.default_rng(0)
    held = {"calibration_slope": 0, "calibration_intercept": 0}
    for _ in range(200):
        x = rng.normal(-1, 1.5, 400)
        omi = (rng.random(400) < 1 / (1 + np.exp(-(0.6 * x)))).astype(int)
        found = calibration_fit(omi, 1 / (1 + np.exp(-x)), np.arange(400))
        held["calibration_slope"] += found["calibration_slope_lo"] <= 0.6 <= found["calibration_slope_hi"]
        omi = (rng.random(400) < 1 / (1 + np.exp(-(x - 0.8)))).astype(int)
        found = calibration_fit(omi, 1 / (1 + np.exp(-x)), np.arange(400))
        held["calibration_intercept"] += found["calibration_intercept_lo"] <= -0.8 <= found["calibration_intercept_hi"]
    assert all(180 <= count <= 198 for count in held.values()), held


def test_intervals_of_the_fit_patient_by_patient(judged):
    """The sandwich written out: how much each patient pulls at the estimate, and how the curve bends."""
    p = judged.models["good"].probability
    x = np.log(p / (1 - p))
    found = calibration_fit(judged.omi, p, judged.patient_id)
    for name, rows in (("calibration_slope", [(1, v) for v in x]), ("calibration_intercept", [(1,)] * 90)):
        slope, large = found["calibration_slope"], found["calibration_intercept"]
        if len(rows[0]) == 2:  # the intercept beside the slope: where the pulls of all ECGs add up to nothing
            a = brentq(lambda a, b=slope: np.sum(judged.omi - 1 / (1 + np.exp(-(a + b * x)))), -20, 20)
            q = 1 / (1 + np.exp(-(a + slope * x)))
        else:
            q = 1 / (1 + np.exp(-(large + x)))
        k = len(rows[0])
        bend, spread = np.zeros((k, k)), np.zeros((k, k))
        for row, one in zip(rows, q, strict=True):
            bend += one * (1 - one) * np.outer(row, row)
        for patient in set(judged.patient_id):
            pull = np.zeros(k)
            for row, one, label, who in zip(rows, q, judged.omi, judged.patient_id, strict=True):
                pull += (label - one) * np.array(row) * (who == patient)
            spread += np.outer(pull, pull)
        spread *= 60 / 59
        error = np.sqrt((np.linalg.inv(bend) @ spread @ np.linalg.inv(bend))[-1, -1])
        half = 1.959963984540054 * error
        limits = [found[f"{name}_lo"], found[f"{name}_hi"]]
        assert limits == pytest.approx([found[name] - half, found[name] + half], rel=1e-6)


def test_copies_of_ecgs_do_not_narrow_the_fit():
    rng = np.random.default_rng(1)
    x = rng.normal(size=80)
    omi = (rng.random(80) < 1 / (1 + np.exp(-x))).astype(int)
    p = 1 / (1 + np.exp(-1.5 * x))
    once = calibration_fit(omi, p, np.arange(80))
    thrice = calibration_fit(np.tile(omi, 3), np.tile(p, 3), np.tile(np.arange(80), 3))
    assert thrice == pytest.approx(once, rel=1e-6)


def test_what_cannot_be_known_is_nan():
    apart = calibration_fit([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], list("abcd"))
    assert np.isnan(apart["calibration_slope"]) and np.isfinite(apart["calibration_intercept"])
    assert np.isnan(calibration_fit([0, 0, 1, 1], [0.5] * 4, list("abcd"))["calibration_slope"])
    assert np.isnan(list(calibration_fit([0, 0, 0], [0.1, 0.2, 0.3], list("abc")).values())).all()
    assert np.isnan(list(calibration_fit([0, 1, 1], [0.1, 0.2, 0.1], list("abb")).values())).all()
    certain = calibration_fit([0, 1, 0, 1, 1], [0.0, 1.0, 1.0, 0.0, 0.5], list("abcde"))
    assert np.isfinite(list(certain.values())).all(), "0 and 1 have infinite logits"
    assert logits(np.array([0.0, 1.0])) == pytest.approx([np.log(NEAREST), -np.log(NEAREST)], rel=1e-6)
    assert np.isnan(list(paired_rate([], [], [], 10, 0).values())).all()
    assert np.isnan(list(at_equal_specificity([1, 1], [0.5, 0.2], [1, 0], list("ab"), 10, 0).values())).all()


def test_a_comparator_without_false_alarms_may_leave_none_to_the_model():
    """The highest probability is no OMI: at a specificity of 1 the model says nothing."""
    omi, p = np.array([0, 1, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])
    found = at_equal_specificity(omi, p, np.array([0, 1, 0, 0]), list("abcd"), 50, 0)
    assert (found["first_value"], found["second_value"]) == (0, 0.5)
    models = {"m": Answers(p, 0.5)}
    judged = FinishedModels(
        np.array(list("wxyz")), omi, np.array(list("abcd")), models, {"reader": np.array([0.0, 1, 0, 0])}, {}, False, 50
    )
    row = judged.decisions.query("rule == 'at the specificity of reader'").iloc[0]
    assert np.isnan(row["threshold"]) and row["true_positive"] == row["false_positive"] == 0
