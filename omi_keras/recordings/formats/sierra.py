"""Philips SierraECG XML, as HeartStart MRx and PageWriter write it."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats import xli
from omi_keras.recordings.formats.beats import device_beat
from omi_keras.recordings.formats.recording import (
    Recording,
    check_gain,
    check_rate,
    choose_leads,
    known_age,
    known_sex,
    lead_name,
    printable,
)
from omi_keras.recordings.formats.xml import from_base64, integers, number, require, text
from omi_keras.recordings.record import LEADS, DeviceBeat

ROOT = "restingecgdata"
TYPES = ("SierraECG", "PhilipsECG")
VERSIONS = ("1.03", "1.04", "1.04.01", "1.04.02")
STANDARD_SETS = ("STD-12", "10-WIRE")
# The device records 11 s; the last 0.4 to 0.5 s are a 1 mV calibration pulse on every lead.
ECG_SECONDS = 10
MIN_SECONDS, MAX_SECONDS = 1.0, 60.0
MAX_LEADS = 32
PADDING = 32767
# Where a file does not state the rate (Hz) and resolution (µV) of its representative beats: 1.04 samples them as
# the rhythm, the other versions each millisecond.
BEAT_SCALE = {"1.04": (500.0, 2.5)}
OTHER_BEAT_SCALE = (1000.0, 1.0)


def read(root: Element, file: str) -> Recording:
    """Leads of a ``<restingecgdata>`` document."""
    version = text(root, "documentinfo/documentversion")
    kind = text(root, "documentinfo/documenttype")
    if kind not in TYPES or version not in VERSIONS:
        what = f"{kind or 'document without type'} version {version or '(none)'}"
        raise InputError(
            f"{file}: unsupported {printable(what, 60)}; SierraECG {', '.join(VERSIONS)} can be read",
            "unsupported_version",
        )
    facts = require(root, "dataacquisition/signalcharacteristics", file)
    waveforms = _longest(root, file)
    rate = check_rate(number(text(facts, "samplingrate"), "sampling rate", file), file, "sampling rate")
    resolution = text(facts, "signalresolution") or text(facts, "resolution")
    microvolts = check_gain(number(resolution, "signal resolution", file), "signal resolution", file)
    _agree(waveforms, {"samplespersecond": rate, "resolution": microvolts}, file)
    if not {text(facts, "signaloffset"), waveforms.get("signaloffset", "")} <= {"", "0"}:
        raise InputError(f"{file}: signals with an offset are not supported; export it again", "unsupported_version")
    names = _names(facts, waveforms, file)
    adu = _samples(waveforms, names, rate, file)[:, : round(ECG_SECONDS * rate)]
    chosen = choose_leads(names, file)
    return Recording(
        {lead: adu[k] * (microvolts / 1000.0) for lead, k in chosen.items()},
        rate,
        f"SierraECG {version}",
        age=known_age(text(root, "patient/generalpatientdata/age/years") or None),
        sex=known_sex(text(root, "patient/generalpatientdata/sex")),
        device_beat=_beat(root.find("{*}waveforms/{*}repbeats"), version, file),
    )


def _longest(root: Element, file: str) -> Element:
    """The waveforms of the recording; of several, the longest, the first of equal ones."""
    found = root.findall("{*}waveforms/{*}parsedwaveforms") or [require(root, "waveforms/parsedwaveforms", file)]
    if len(found) == 1:
        return found[0]
    return max(found, key=lambda waveforms: number(waveforms.get("durationperchannel"), "duration", file))


def _agree(waveforms: Element, stated: dict[str, float], file: str) -> None:
    """What 1.04 repeats beside the samples must be what its header says."""
    for name, value in stated.items():
        again = waveforms.get(name)
        if again and number(again, name, file) != value:
            raise InputError(
                f"{file}: {name} is given twice and differently ({value:g} and {printable(again)}); export it again",
                "contradiction",
            )


def _names(facts: Element, waveforms: Element, file: str) -> list[str]:
    """Names of the stored leads; the counts that the file states must agree with each other."""
    labels = waveforms.get("leadlabels", "").split()
    stated = waveforms.get("numberofleads") or text(facts, "numberchannelsallocated") or str(len(labels))
    count = number(stated, "number of leads", file)
    if not labels:
        known = text(facts, "acquisitiontype") in STANDARD_SETS or text(facts, "leadset") in STANDARD_SETS
        # Of the standard set the twelve come first; spare channels have no name.
        spare = [f"channel {k}" for k in range(len(LEADS) + 1, int(min(count, MAX_LEADS)) + 1)]
        labels = [*LEADS, *spare] if known else []
    if count != len(labels) or len(labels) > MAX_LEADS:
        raise InputError(
            f"{file}: header says {count:g} leads but names {len(labels)}; only standard 12-lead ECGs can be read",
            "bad_header",
        )
    return labels


def _samples(waveforms: Element, names: list[str], rate: float, file: str) -> np.ndarray:
    """Stored values of all leads, (leads, samples) float64."""
    seconds = number(waveforms.get("durationperchannel"), "duration", file) / 1000.0
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise InputError(f"{file}: duration of {seconds:g} s; a resting ECG has 11 s", "bad_header")
    samples = round(seconds * rate)
    expected = len(names) * samples
    # MRx claims XLI also for plain text, so the encoding is asked first and the data themselves second.
    if waveforms.get("dataencoding") == "Plain":
        values = integers(waveforms.text or "", file)
    elif waveforms.get("dataencoding") == "Base64":
        data = from_base64(waveforms.text or "", file, "waveform")
        packed = xli.chunks(data) if _claims_xli(waveforms) else None
        if packed is not None:
            return _from_xli(packed, names, samples, file)
        if len(data) % 2:
            raise InputError(f"{file}: waveform ends within a sample; export it again", "truncated")
        if waveforms.get("nbitspersample", waveforms.get("bitspersample", "16")) != "16":
            raise InputError(f"{file}: samples are not of 16 bits; export it again", "unsupported_version")
        values = np.frombuffer(data, "<i2").astype(np.float64)
    else:
        encoding = printable(waveforms.get("dataencoding") or "(none)")
        raise InputError(
            f"{file}: unknown data encoding {encoding}; export it as Base64 or Plain", "unsupported_version"
        )
    channels, rest = divmod(len(values), samples)
    stored = values[: channels * samples].reshape(channels, samples)
    if rest or channels < len(names) or (channels > len(names) and not _are_the_named(stored, names, rate)):
        raise InputError(
            f"{file}: expected {expected} samples ({len(names)} leads of {samples}), found {len(values)}; "
            "export it again",
            "truncated",
        )
    return stored[: len(names)]


def _are_the_named(stored: np.ndarray, names: list[str], rate: float) -> bool:
    """Whether the first channels are the leads that the header names, where more are stored.

    HeartStart MRx stores sixteen under twelve names; the last four are empty but for the calibration pulse. Were they
    not, a wrong duration might have cut leads in two: then lead III tells, for it must be II - I.
    """
    if not len(LEADS) <= len(names) <= len(stored) <= MAX_LEADS:
        return False
    end = round(ECG_SECONDS * rate)
    spare = stored[len(names) :, :end]
    if (spare == spare[:, :1]).all():
        return True
    place = {lead: k for k, name in enumerate(names) if (lead := lead_name(name))}
    if not place.keys() >= {"I", "II", "III"}:
        return False
    one, two, three = (stored[place[lead], :end] - np.median(stored[place[lead], :end]) for lead in ("I", "II", "III"))
    # Filters of real devices let the law be broken by a few hundred µV at QRS, not by half of the signal.
    return bool(np.square(three - two + one).mean() <= 0.25 * max(np.square(x).mean() for x in (one, two, three)))


def _claims_xli(waveforms: Element) -> bool:
    method = waveforms.get("compressmethod") or waveforms.get("compression") or ""
    return method.upper() == "XLI" and waveforms.get("compressflag", "True").lower() != "false"


def _from_xli(packed: list[tuple[int, bytes]], names: list[str], samples: int, file: str) -> np.ndarray:
    # MRx stores up to four spare channels after the twelve leads.
    if not len(names) <= len(packed) <= (MAX_LEADS if len(names) >= len(LEADS) else len(names)):
        raise InputError(
            f"{file}: header says {len(names)} leads but {len(packed)} are stored; export it again", "bad_header"
        )
    leads = {}
    for name, (first, chunk) in zip(names, packed, strict=False):
        lead = xli.decode(first, chunk, samples)
        if lead is None:
            raise InputError(
                f"{file}: lead {name} does not decompress to {samples} samples; export it again", "bad_signal"
            )
        leads[name] = lead
    if not all(lead in leads for lead in LEADS[:6]):
        raise InputError(f"{file}: compressed limb leads are incomplete; export it again", "missing_lead")
    # Four limb leads are stored as what they differ from Einthoven's and Goldberger's laws.
    one, two = leads["I"], leads["II"]
    leads["III"] = two - one - leads["III"]
    leads["aVR"] = -leads["aVR"] - (one + two) // 2
    leads["aVL"] = (one - leads["III"]) // 2 - leads["aVL"]
    leads["aVF"] = (two + leads["III"]) // 2 - leads["aVF"]
    return np.stack([leads[name] for name in names]).astype(np.float64)


def _beat(repbeats: Element | None, version: str, file: str) -> DeviceBeat | None:
    """The device's own representative beat; None where there is none, or none of all twelve leads."""
    if repbeats is None or repbeats.get("compression") or repbeats.get("dataencoding") not in ("Base64", "Plain"):
        return None
    rate, microvolts = BEAT_SCALE.get(version, OTHER_BEAT_SCALE)
    stated = repbeats.get("samplespersec") or repbeats.get("samplespersecond")
    rate = check_rate(number(stated, "rate of the beats", file) if stated else rate, file, "rate of the beats")
    if repbeats.get("resolution"):
        microvolts = number(repbeats.get("resolution"), "resolution of the beats", file)
    check_gain(microvolts, "resolution of the beats", file)
    leads = {}
    for item in repbeats.iterfind("{*}repbeat"):
        # 1.04 has the samples in an element of their own.
        inner = item.find("{*}waveform")
        holder = item if inner is None else inner
        if repbeats.get("dataencoding") == "Base64":
            data = from_base64(holder.text or "", file, "beat")
            values = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float64)
        else:
            values = integers(holder.text or "", file)
        # The longest stretch before the padding: 600 of 1200 values in 1.04.
        end = int(np.argmax(values == PADDING)) if (values == PADDING).any() else len(values)
        leads[item.get("leadname", "")] = values[:end] * (microvolts / 1000.0)
    return device_beat(leads, rate)
