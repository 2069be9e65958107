from edge.bands import band_of


def test_bands_meet_at_their_edges():
    bands = {"rule_out": 0.1, "rule_in": 0.6}
    found = [band_of(probability, bands) for probability in (0.0, 0.0999, 0.1, 0.5999, 0.6, 1.0)]
    assert found == ["rule-out", "rule-out", "open", "open", "rule-in", "rule-in"]


def test_an_edge_that_no_threshold_reached_does_not_exist():
    assert band_of(0.99, {"rule_out": 0.1, "rule_in": None}) == "open"
    assert band_of(0.01, {"rule_out": None, "rule_in": 0.6}) == "open"
    assert band_of(0.01, None) is None
