"""What ``omi-keras predict --html`` draws of each file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omi_keras.recordings.errors import InputError

if TYPE_CHECKING:
    from edge.many_files import Judged
    from omi_keras.drawing.ecg_picture_sheet import Picture
    from omi_keras.saliency.explain import Explain


def picture_of(judged: Judged, simulated: bool, explain: Explain | None) -> Picture | None:
    """The picture of an ECG; without a judgement that of one that gave no beat; None of a file that cannot be read.

    Parameters
    ----------
    simulated
        Whether the model was trained on simulated ECGs.
    explain
        What the model looks at; None draws no saliency.
    """
    from omi_keras.beats.median_beats import MedianBeat
    from omi_keras.drawing.ecg_picture_sheet import ecg_picture

    found = judged.found
    if found is None:
        return _as_read(judged)
    seen: dict[str, Any] = {}
    if explain is not None and found.beat is not None:
        beat = found.beat.beat if isinstance(found.beat, MedianBeat) else found.beat
        seen["saliency"], seen["shares"] = explain(beat)
    return ecg_picture(
        found.record,
        found.beat,
        title=judged.row["ecg_id"],
        quality=found.quality,
        probability=found.probability,
        threshold=found.threshold,
        bands=found.bands,
        model_simulated=simulated,
        **seen,
    )


def _as_read(judged: Judged) -> Picture | None:
    from edge.many_files import READERS
    from omi_keras.drawing.ecg_picture_sheet import ecg_picture
    from omi_keras.recordings.readers import read_record

    try:
        record = read_record(judged.file)
    except InputError:
        return None
    except ModuleNotFoundError as error:
        if error.name not in READERS:
            raise
        return None
    return ecg_picture(record, title=judged.file.stem)
