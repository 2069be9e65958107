"""File → Record: the only place that chooses between file formats."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats import aecg, arrays, csv, dicom, edf, foreign, matlab, muse, scp, sierra, wfdb, xml
from omi_keras.recordings.formats.files import read_bytes
from omi_keras.recordings.formats.recording import DERIVABLE, Recording, check_length, printable
from omi_keras.recordings.limb_leads import limb_leads
from omi_keras.recordings.record import LEADS, SAMPLING_RATE, Record, Sex
from omi_keras.recordings.resampling import resample

# What a record may be called on disk when it is named without its extension, likeliest first.
SUFFIXES = (".hea", ".xml", ".dcm", ".scp", ".edf", ".bdf", ".npz", ".npy", ".csv", ".mat")
SUPPORTED = "WFDB, Philips, MUSE or HL7 XML, DICOM, SCP-ECG, EDF, MATLAB, CSV, NPY or NPZ"

# What a file is by its extension.
KNOWN = {
    ".hea": "a WFDB header", ".xml": "XML", ".dcm": "DICOM", ".scp": "SCP-ECG", ".edf": "EDF", ".bdf": "BDF",
    ".npy": "a NumPy array file", ".npz": "a NumPy array file", ".mat": "a MATLAB file", ".csv": "a table",
}  # fmt: skip

# Far above what wrong units make of an ECG, which the quality check names better.
MAX_MV = 1e6

HEAD_BYTES = 512
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_XML_STARTS = tuple(
    bom + "<".encode(code)
    for code, boms in (
        ("utf-8", (b"", b"\xef\xbb\xbf")),
        ("utf-16-le", (b"", b"\xff\xfe")),
        ("utf-16-be", (b"", b"\xfe\xff")),
    )
    for bom in boms
)
XML_ROOTS: dict[str, Callable[[Element, str], Recording]] = {
    sierra.ROOT: sierra.read,
    muse.ROOT: muse.read,
    aecg.ROOT: aecg.read,
}


def read_record(
    path: str | Path,
    *,
    ecg_id: str | None = None,
    patient_id: str = "",
    age: float | None = None,
    sex: Sex | None = None,
) -> Record:
    """Read one recording.

    Millivolts, 500 Hz (zero-phase resampling) and the twelve leads in their order come out, whatever the
    format, units, rate and lead order of the file; limb leads that are not stored are computed from I and II.
    The format is recognised by the file's content, whatever its name. Names of patients are never read.

    Parameters
    ----------
    path
        The recording's file. A WFDB record is named by its header (``.hea``); its signal files lie beside it.
        The extension may be left out where one file only can be meant.
    ecg_id
        Identifier of the recording; the file's name without extension when not given.
    patient_id
        Identifier of the patient.
    age, sex
        Years; ``"female"`` or ``"male"``. When not given, those of the file, if it has them.

    Returns
    -------
    Record
        With the flags ``derived_leads`` where limb leads were computed, ``checksum`` where the samples are not
        those that a checksum in the file was written for, ``several_rhythms`` where a MUSE file has more than the one
        that was taken. Whether the signal is fit to be judged is decided where it is judged, by
        :func:`omi_keras.beats.median_beats.median_beat`.

    Raises
    ------
    InputError
        When the file cannot be read: one sentence that names it.

    Examples
    --------
    >>> import omi_keras as omi
    >>> record = omi.read_record(ecg_file)
    >>> record.signal.shape, record.signal.dtype
    ((12, 5000), dtype('float32'))
    """
    file = find_record(Path(path))
    with np.errstate(invalid="ignore", over="ignore"):  # damaged numbers; what they become is looked at next
        found = _read(file)
    signal, flags = _twelve_leads(found, file.name)
    return Record(
        resample(signal, found.rate, SAMPLING_RATE).astype(np.float32),
        ecg_id=file.stem if ecg_id is None else ecg_id,
        patient_id=patient_id,
        age=found.age if age is None else age,
        sex=found.sex if sex is None else sex,
        source=found.source,
        flags=tuple(sorted({*found.flags, *flags})),
        device_beat=found.device_beat,
    )


def find_record(path: Path) -> Path:
    """The file that a record's name means: itself, or the one file beside it that only adds an extension.

    Raises
    ------
    InputError
        When there is none, or when several could be meant.
    """
    if "\0" in str(path):
        raise InputError("file name contains a zero byte; check the path", "missing_file")
    try:
        if path.is_file() or not path.name:
            return path
        found = [other for suffix in SUFFIXES if (other := path.with_name(path.name + suffix)).is_file()]
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror}); check the path", "unreadable") from None
    # A header beside a .mat or .dat of the same name describes it.
    if len(found) > 1 and found[0].suffix != ".hea":
        names = ", ".join(other.name for other in found)
        raise InputError(f"{path.name}: could be any of {names}; name one with its extension", "ambiguous")
    return found[0] if found else path


def _read(path: Path) -> Recording:
    """Recognise the format by content; only a WFDB header and headerless arrays need their name."""
    suffix, file = path.suffix.lower(), path.name
    if suffix in (".mat", ".dat") and (header := path.with_suffix(".hea")).is_file():
        return wfdb.read(header)
    head = read_bytes(path, start=HEAD_BYTES)
    is_dicom, is_scp = dicom.looks_like(head), scp.looks_like(head, named=suffix == ".scp")
    # These two begin with bytes that may be anything.
    if not is_dicom and not is_scp and (other := foreign.what_it_is(head)) is not None:
        what, advice = other
        raise InputError(
            f"{file}: is {what}, not {KNOWN.get(suffix, 'a recording in a known format')}; {advice}", "unknown_format"
        )
    if suffix == ".hea":
        return wfdb.read(path)
    if not head:
        raise InputError(f"{file}: empty file; export the record again", "empty_file")
    for name, suffixes, recognised, read in (
        ("XML", (".xml",), head.lstrip().startswith(_XML_STARTS), _read_xml),
        ("DICOM", (".dcm",), is_dicom, dicom.read),
        ("SCP-ECG", (".scp",), is_scp, scp.read),
        ("EDF", (".edf", ".bdf"), head.startswith((edf.EDF_MAGIC, edf.BDF_MAGIC)), edf.read),
        ("NPY", (".npy",), head.startswith(arrays.NPY_MAGIC), arrays.read_npy),
        ("NPZ", (".npz",), head.startswith(arrays.ZIP_MAGIC), arrays.read_npz),
        ("MATLAB", (".mat",), head.startswith(matlab.MAGIC) or suffix == ".mat", matlab.read),
        ("CSV", csv.SUFFIXES, csv.looks_like(head) or suffix in csv.SUFFIXES, csv.read),
    ):
        if recognised:
            # An unknown extension says nothing; that of another format says that something was mixed up.
            if suffix in SUFFIXES and suffix not in suffixes:
                raise InputError(f"{file}: looks like {name}, not like {suffix}; rename it", "wrong_extension")
            return read(read_bytes(path), path)
    if _PICKLE.match(head):
        raise InputError(f"{file}: a Python pickle may run code and is never opened; save plain arrays", "pickle")
    what = f"not {KNOWN[suffix]}, whatever its name says" if suffix in KNOWN else "not a recording in a known format"
    raise InputError(f"{file}: {what}; convert it to {SUPPORTED}", "unknown_format")


def _read_xml(data: bytes, path: Path) -> Recording:
    file = path.name
    root = xml.parse(data, file)
    reader = XML_ROOTS.get(xml.local_name(root))
    if reader is None:
        name = printable(xml.local_name(root))
        raise InputError(f"{file}: not a supported ECG XML (root element <{name}>)", "unknown_format")
    return reader(root, file)


def _twelve_leads(found: Recording, file: str) -> tuple[np.ndarray, set[str]]:
    """(12, samples) float64 in our order; limb leads that are not there from I and II."""
    row = found.leads
    samples = len(row["I"])
    if samples < 2:
        raise InputError(f"{file}: no samples; export the record again", "too_short")
    check_length(samples, found.rate, file)
    holes = {lead: int((~np.isfinite(row[lead])).sum()) for lead in LEADS if lead in row}
    if any(holes.values()):
        counts = ", ".join(f"{lead}: {count} missing samples" for lead, count in holes.items() if count)
        raise InputError(f"{file}: {counts}; record again or cut out a complete stretch", "missing_samples")
    row = limb_leads(row["I"], row["II"]) | row
    flags = {"derived_leads"} if any(lead not in found.leads for lead in DERIVABLE) else set()
    signal = np.stack([row[lead] for lead in LEADS])
    top = float(np.abs(signal).max())
    if top > MAX_MV:
        raise InputError(
            f"{file}: a sample of {top:.3g} mV is no voltage of a heart; the file is damaged or its unit wrong",
            "implausible_amplitude",
        )
    return signal, flags
