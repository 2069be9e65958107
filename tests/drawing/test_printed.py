"""What a browser prints: true to scale, one ECG a sheet."""

import numpy as np
import pytest
from browser import lines, pages, printed

from omi_keras.drawing import ecg_picture
from omi_keras.recordings.record import Record
from omi_keras.report.pictures import pictures_page


def test_printed_paper_is_true_to_scale(tmp_path):
    """10 mm are 1 mV and 25 mm are 1 s in the PDF of A4 across, and each ECG has its sheet."""
    signal = np.zeros((12, 5000), np.float32)
    signal[:, [600, 1100]] = 1.5
    pictures = [ecg_picture(Record(signal, name), refusal="made for a test") for name in ("one", "two")]
    page = tmp_path / "page.html"
    page.write_text(pictures_page("Two", pictures), encoding="utf-8")
    pdf = printed(tmp_path, page)
    assert pages(pdf) == [pytest.approx((297, 210), abs=0.2)] * 2
    for sheet in lines(pdf):
        pulses = [line for line in sheet if len(line) == 6 and np.ptp(line[:, 0]) < 12]
        assert len(pulses) == 4  # of calibration, 1 mV for 200 ms
        for pulse in pulses:
            assert np.ptp(pulse[:, 1]) == pytest.approx(10, abs=0.02)
            assert pulse[3, 0] - pulse[2, 0] == pytest.approx(5, abs=0.02)
        rhythm = max(sheet, key=lambda line: np.ptp(line[:, 0]) if len(line) > 6 else 0)
        assert np.ptp(rhythm[:, 0]) == pytest.approx(250, abs=0.2)
        assert np.ptp(rhythm[:, 1]) == pytest.approx(15, abs=0.05)
        high = rhythm[rhythm[:, 1] > rhythm[:, 1].max() - 0.1]
        assert np.ptp(high[:, 0]) == pytest.approx(25, abs=0.05)
        everything = np.concatenate(sheet)
        assert (everything >= 4.5).all() and (everything <= (292.5, 205.5)).all()
