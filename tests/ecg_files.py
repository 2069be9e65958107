"""Writers of file formats, by hand from their descriptions, so that readers are tested on numbers that are known."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import Record

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def lzw10(data: bytes) -> bytes:
    """LZW with codes of 10 bits; 1023 ends it."""
    table = {bytes([k]): k for k in range(256)}
    codes, word = [], b""
    for k in range(len(data)):
        longer = word + data[k : k + 1]
        if longer in table:
            word = longer
            continue
        codes.append(table[word])
        if len(table) < 1023:
            table[longer] = len(table)
        word = data[k : k + 1]
    bits = "".join(f"{code:010b}" for code in [*codes, table[word], 1023])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def xli_chunk(lead: np.ndarray) -> bytes:
    """One lead of 16-bit integers as Philips compresses it."""
    v = lead.astype(np.int64)
    stored = np.zeros(len(v), np.int64)
    stored[:2] = v[:2]
    stored[2:-1] = 64 + 2 * v[2:-1] - v[1:-2] - v[3:]
    words = stored.astype(">i2").view(np.uint8).reshape(-1, 2)
    packed = lzw10(words.T.tobytes())
    return struct.pack("<iHh", len(packed), 1, int(2 * v[1] - v[0] - v[2])) + packed


def sierra_differences(adu: np.ndarray) -> np.ndarray:
    """Twelve leads → what XLI files store for them."""
    one, two, three, avr, avl, avf = adu[:6].astype(np.int64)
    limbs = [
        one,
        two,
        two - one - three,
        -avr - (one + two) // 2,
        (one - three) // 2 - avl,
        (two + three) // 2 - avf,
    ]
    return np.concatenate([np.stack(limbs), adu[6:]])


def sierra_data(adu: np.ndarray, encoding: str, spare: int = 0) -> str:
    """Content of ``<parsedwaveforms>``: ``XLI``, ``Base64`` or ``Plain``."""
    if encoding != "XLI":
        # HeartStart MRx: empty but for the calibration pulse.
        empty = np.zeros((spare, adu.shape[1]), np.int64)
        empty[:, 5300:5400] = 200
        adu = np.concatenate([adu.astype(np.int64), empty])
    if encoding == "Plain":
        return "\n".join(" ".join(map(str, row)) for row in adu.tolist())
    if encoding == "Base64":
        return base64.encodebytes(adu.astype("<i2").tobytes()).decode()
    rows = [*sierra_differences(adu), *(np.zeros(adu.shape[1]) for _ in range(spare))]
    return base64.encodebytes(b"".join(xli_chunk(row) for row in rows)).decode()


def sierra(
    adu: np.ndarray,
    *,
    version: str = "1.03",
    encoding: str = "XLI",
    claim: str = "",
    rate: str = "500",
    resolution: str = "5",
    channels: str = "12",
    labels: tuple[str, ...] = LEADS,
    milliseconds: int | None = None,
    spare: int = 0,
    patient: str = "<age><years>61</years></age><sex>Female</sex>",
    beats: str = "",
    charset: str = "utf-8",
) -> bytes:
    """A SierraECG document of the attributes and elements that devices write; ``adu`` (leads, samples) integers."""
    duration = milliseconds if milliseconds is not None else round(1000 * adu.shape[1] / 500)
    data_encoding = "Plain" if encoding == "Plain" else "Base64"
    if version == "1.03":
        flag = "True" if encoding == "XLI" else "False"
        attributes = f'compressflag="{flag}" compressmethod="{claim or "XLI"}" nbitspersample="16"'
        scale = f"<signalresolution>{resolution}</signalresolution>"
    else:
        compression = f'compression="{claim or encoding}"' if encoding == "XLI" else ""
        attributes = f'{compression} numberofleads="{channels}" leadlabels="{" ".join(labels)}" bitspersample="16"'
        scale = f"<resolution>{resolution}</resolution>"
    kind = "SierraECG" if version == "1.03" else "PhilipsECG"
    return f"""<?xml version="1.0" encoding="{charset}"?>
<restingecgdata xmlns="http://www3.medical.philips.com">
<documentinfo><documenttype>{kind}</documenttype><documentversion>{version}</documentversion></documentinfo>
<dataacquisition><signalcharacteristics><samplingrate>{rate}</samplingrate>{scale}
<acquisitiontype>STD-12</acquisitiontype><bitspersample>16</bitspersample><signaloffset>0</signaloffset>
<numberchannelsallocated>{channels}</numberchannelsallocated></signalcharacteristics></dataacquisition>
<patient><generalpatientdata><patientid>TESTID-77</patientid><name><lastname>TESTNAME</lastname></name>{patient}
</generalpatientdata></patient>
<waveforms><parsedwaveforms {attributes} dataencoding="{data_encoding}" durationperchannel="{duration}">
{sierra_data(adu, encoding, spare)}</parsedwaveforms>{beats}</waveforms></restingecgdata>""".encode(charset)


def sierra_beats(beat: np.ndarray, version: str, scale: str, padding: int = 0) -> str:
    """``<repbeats>``; ``scale`` holds the attributes that state rate and resolution."""
    items = []
    for lead, row in zip(LEADS, beat, strict=True):
        values = np.concatenate([row, np.full(padding, 32767)]).astype("<i2")
        content = base64.encodebytes(values.tobytes()).decode()
        if version == "1.03":
            items.append(f'<repbeat leadname="{lead}" duration="1200">{content}</repbeat>')
        else:
            items.append(f'<repbeat leadname="{lead}"><waveform duration="2400">{content}</waveform></repbeat>')
    return f'<repbeats dataencoding="Base64" {scale}>{"".join(items)}</repbeats>'


SCP_CODES = dict(zip(LEADS, ("1", "2", "61", "62", "63", "64", "3", "4", "5", "6", "7", "8"), strict=True))


def dicom(
    groups: list[dict],
    *,
    patient: dict | None = None,
    sop_class: str = "1.2.840.10008.5.1.4.1.1.9.1.1",
    implicit: bool = False,
    header: bool = True,
) -> bytes:
    """A 12-lead ECG object; each group: ``adu`` (leads, samples) integers and what differs from the usual.

    Without ``header`` the bare data set, as networks carry it.
    """
    import io

    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, "1.2.3.4"
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = sop_class, "1.2.3.4", "ECG"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "TESTNAME^JANE", "TESTID-77", "19500101"
    for key, value in {"PatientAge": "061Y", "PatientSex": "F", **(patient or {})}.items():
        setattr(dataset, key, value)

    def code(value: str, meaning: str, scheme: str = "SCPECG") -> list[Dataset]:
        made = Dataset()
        made.CodeValue, made.CodeMeaning, made.CodingSchemeDesignator = value, meaning, scheme
        return [made]

    items = []
    for group in groups:
        adu = group["adu"]
        leads = group.get("leads", LEADS[: len(adu)])
        item = Dataset()
        if group.get("label", "RHYTHM") is not None:
            item.MultiplexGroupLabel = group.get("label", "RHYTHM")
        item.WaveformOriginality = group.get("originality", "ORIGINAL")
        if "trigger" in group:
            item.TriggerSamplePosition = group["trigger"]
        item.NumberOfWaveformChannels = group.get("channels", len(adu))
        item.NumberOfWaveformSamples = group.get("samples", adu.shape[1])
        item.SamplingFrequency = group.get("rate", 500)
        item.WaveformBitsAllocated = group.get("bits", 16)
        item.WaveformSampleInterpretation = group.get("interpretation", "SS")
        kind = {8: "i1", 16: "i2", 32: "i4"}[group.get("bits", 16)]
        kind = kind.replace("i", "u") if item.WaveformSampleInterpretation.startswith("U") else kind
        data = adu.T.astype("<" + kind).tobytes()
        item.WaveformData = data[: group.get("bytes", len(data))]
        if "padding" in group:
            item.WaveformPaddingValue = struct.pack("<h", group["padding"])
        if "padding_number" in group:  # not as the standard has it
            item.add_new(0x5400100A, "SS", group["padding_number"])
        channels = []
        for lead in leads:
            channel = Dataset()
            channel.ChannelSourceSequence = code(
                group.get("codes", SCP_CODES)[lead], group.get("meaning", "Lead {}").format(lead)
            )
            if group.get("sensitivity", "5") is not None:
                channel.ChannelSensitivity = group.get("sensitivity", "5")
                channel.ChannelSensitivityUnitsSequence = code(group.get("units", "uV"), "", "UCUM")
                channel.ChannelSensitivityCorrectionFactor = group.get("correction", "1")
                channel.ChannelBaseline = group.get("baseline", "0")
            channel.WaveformBitsStored = group.get("bits", 16)
            if lead in group.get("skews", {}):
                channel.ChannelSampleSkew = group["skews"][lead]
            channels.append(channel)
        item.ChannelDefinitionSequence = channels
        items.append(item)
    if items:
        dataset.WaveformSequence = items
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    if header:
        return stream.getvalue()
    at = 128 + 4
    (length,) = struct.unpack_from("<I", stream.getvalue(), at + 8)  # of the rest of group 2
    return stream.getvalue()[at + 12 + length :]


MUSE_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def muse_waveform(kind: str, adu: np.ndarray, **changes: str) -> str:
    """A ``<Waveform>``; ``changes`` replace the content of elements, in all leads."""
    facts = {"SampleBase": "500", "SampleExponent": "0", "NumberofLeads": str(len(adu))}
    items = []
    for lead, row in zip(MUSE_LEADS, adu, strict=True):
        data = row.astype("<i2").tobytes()
        item = {
            "LeadByteCountTotal": len(data),
            "LeadTimeOffset": 0,
            "LeadSampleCountTotal": len(row),
            "LeadAmplitudeUnitsPerBit": "4.88",
            "LeadAmplitudeUnits": "MICROVOLTS",
            "LeadHighLimit": 32767,
            "LeadLowLimit": -32768,
            "LeadID": lead,
            "LeadOffsetFirstSample": 0,
            "FirstSampleBaseline": 0,
            "LeadSampleSize": 2,
            "LeadOff": "FALSE",
            "BaselineSway": "FALSE",
            "LeadDataCRC32": zlib.crc32(data),
            "WaveFormData": base64.encodebytes(data).decode(),
        }
        item |= {key: value for key, value in changes.items() if key in item}
        items.append("<LeadData>" + "".join(f"<{key}>{value}</{key}>" for key, value in item.items()) + "</LeadData>")
    facts |= {key: value for key, value in changes.items() if key in facts}
    head = "".join(f"<{key}>{value}</{key}>" for key, value in facts.items())
    return f"<Waveform><WaveformType>{kind}</WaveformType>{head}{''.join(items)}</Waveform>"


def muse(*waveforms: str) -> bytes:
    """A MUSE document, with the document type that every one has."""
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE RestingECG SYSTEM "restecg.dtd">
<RestingECG><MuseInfo><MuseVersion>8.0</MuseVersion></MuseInfo>
<PatientDemographics><PatientID>TESTID-77</PatientID><PatientAge>61</PatientAge><AgeUnits>YEARS</AgeUnits>
<DateofBirth>01-01-1950</DateofBirth><Gender>FEMALE</Gender><PatientLastName>TESTNAMÉ</PatientLastName>
</PatientDemographics>{"".join(waveforms)}</RestingECG>""".encode("latin-1")


def aecg_set(adu: np.ndarray, leads: tuple[str, ...] = LEADS, **changes: str) -> str:
    """A ``<sequenceSet>``; 2.5 µV a step and an origin of 10 µV."""
    facts = {"increment": "0.002", "time_unit": "s", "scale": "2.5", "unit": "uV", "origin": "10", **changes}
    sequences = [
        '<component><sequence><code code="TIME_ABSOLUTE" codeSystem="2.16.840.1.113883.5.4"/>'
        f'<value xsi:type="GLIST_TS"><head value="20000101000000.000"/>'
        f'<increment value="{facts["increment"]}" unit="{facts["time_unit"]}"/></value></sequence></component>'
    ]
    for lead, row in zip(leads, adu, strict=True):
        sequences.append(
            f'<component><sequence><code code="MDC_ECG_LEAD_{lead}" codeSystem="2.16.840.1.113883.6.24"/>'
            f'<value xsi:type="SLIST_PQ"><origin value="{facts["origin"]}" unit="{facts["unit"]}"/>'
            f'<scale value="{facts["scale"]}" unit="{facts["unit"]}"/><digits>{" ".join(map(str, row))}</digits>'
            "</value></sequence></component>"
        )
    return f"<component><sequenceSet>{''.join(sequences)}</sequenceSet></component>"


def aecg_series(code: str, *sets: str) -> str:
    """A series that stands beside the rhythm."""
    return f'<component><series><code code="{code}"/>{"".join(sets)}</series></component>'


def aecg(*sets: str, derived: str = "", before: str = "", after: str = "") -> bytes:
    """An annotated ECG with the elements of the HL7 implementation guide that matter here."""
    beat = (
        f'<derivation><derivedSeries><code code="REPRESENTATIVE_BEAT"/>{derived}</derivedSeries></derivation>'
        if derived
        else ""
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" type="Observation">
<id root="1.2.3"/><code code="93000" codeSystem="2.16.840.1.113883.6.12"/>
<componentOf><timepointEvent><componentOf><subjectAssignment><subject><trialSubject><id extension="TESTID-77"/>
<subjectDemographicPerson><name>TESTNAME</name><administrativeGenderCode code="F"/><birthTime value="19500101"/>
</subjectDemographicPerson></trialSubject></subject></subjectAssignment></componentOf></timepointEvent></componentOf>
{before}<component><series><code code="RHYTHM" codeSystem="2.16.840.1.113883.5.4"/>{beat}{"".join(sets)}</series>
</component>{after}</AnnotatedECG>""".encode()


def edf(
    adu: np.ndarray,
    *,
    labels: tuple[str, ...] = LEADS,
    rate: int = 500,
    seconds: int = 1,
    width: int = 2,
    reserved: str = "EDF+C",
    annotations: bool = False,
    **changes: Any,
) -> bytes:
    """EDF or (``width=3``) BDF with 5 µV a step; ``changes`` replace header fields, in all signals."""
    # Eight characters a field: BDF cannot state its whole range in steps of 5 µV.
    limit = 32768 if width == 2 else 1_000_000
    ranges = {
        "units": "uV", "low": str(-5 * limit), "high": str(5 * limit - 5),
        "digital_low": str(-limit), "digital_high": str(limit - 1),
    }  # fmt: skip
    ranges |= {key: value for key, value in changes.items() if key in ranges}
    turned = changes.get("turned", ())  # leads with a negative gain; their numbers are to be stored upside down
    per_record = rate * seconds
    n, records = len(adu) + annotations, adu.shape[1] // per_record
    head = {
        "patient": "TESTID-77 F 02-MAY-1951 TESTNAME",
        "recording": "Startdate 01-JAN-2000 X X X",
        "bytes": str(256 * (n + 1)),
        "records": str(records),
        "duration": str(seconds),
        "signals": str(n),
        "samples": str(per_record),
    }
    head |= {key: value for key, value in changes.items() if key in head}
    version = "0" if width == 2 else "\xffBIOSEMI"
    fields = [(version, 8), (head["patient"], 80), (head["recording"], 80), ("01.01.00", 8), ("00.00.00", 8)]
    fields += [(head["bytes"], 8), (reserved, 44), (head["records"], 8), (head["duration"], 8), (head["signals"], 4)]
    extra = 1 if annotations else 0
    fields += [(label, 16) for label in (*labels, *["EDF Annotations"] * extra)] + [("", 80)] * n
    for key in ("units", "low", "high", "digital_low", "digital_high"):
        other = {"low": "high", "high": "low"}.get(key, key)
        fields += [(ranges[other if label in turned else key], 8) for label in (*labels, *[""] * extra)]
    fields += [("", 80)] * n + [(head["samples"], 8)] * (n - extra) + [("15", 8)] * extra + [("", 32)] * n
    out = bytearray("".join(text.ljust(size)[:size] for text, size in fields).encode("latin-1"))
    for k in range(records):
        for row in adu[:, k * per_record : (k + 1) * per_record]:
            out += _narrow(row, width)
        out += b"+0\x14\x14".ljust(15 * width, b"\0") * extra
    return bytes(out)


def _narrow(row: np.ndarray, width: int) -> bytes:
    return row.astype("<i4").view("u1").reshape(-1, 4)[:, :width].tobytes()


SCP_NUMBERS = {lead: int(code) for lead, code in SCP_CODES.items()}


def scp_huffman(values: np.ndarray) -> bytes:
    """The standard's default table."""
    bits = []
    for value in values.tolist():
        if value == 0:
            bits.append("0")
        elif abs(value) <= 8:
            bits.append("1" * abs(value) + "0" + ("1" if value < 0 else "0"))
        elif -128 <= value < 128:
            bits.append("1111111110" + f"{value & 0xFF:08b}")
        else:
            bits.append("1111111111" + f"{value & 0xFFFF:016b}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def scp_signals(
    adu: np.ndarray, *, nanovolts: int = 5000, microseconds: int = 2000, differences: int = 2, packed: bool = True,
    bimodal: int = 0,
) -> bytes:  # fmt: skip
    """Content of section 5 or 6."""
    chunks = []
    for row in adu.astype(np.int64):
        stored = row.copy()
        if differences == 1:
            stored[1:] = np.diff(row)
        elif differences == 2:
            stored[2:] = np.diff(row, 2)
        chunk = scp_huffman(stored) if packed else stored.astype("<i2").tobytes()
        chunks.append(chunk + b"\0" * (len(chunk) % 2))
    head = struct.pack("<HHBB", nanovolts, microseconds, differences, bimodal)
    return head + struct.pack(f"<{len(chunks)}H", *map(len, chunks)) + b"".join(chunks)


def scp(
    rhythm: bytes,
    samples: int,
    *,
    leads: tuple[str, ...] = LEADS,
    beat: bytes | None = None,
    zones: bytes | None = None,
    subtracted: bool = False,
    tables: bytes | None = struct.pack("<H", 19999),
    last: int | None = None,
) -> bytes:
    """A record of sections 0 to 6 with its checksums."""
    tags = [(0, b"TESTNAME\0"), (2, b"TESTID-77\0"), (5, struct.pack("<HBB", 1950, 1, 1)), (8, b"\2")]
    tags += [(4, struct.pack("<HB", 61, 1)), (255, b"")]
    ends = [samples if last is None else last] * len(leads)
    rows = b"".join(struct.pack("<IIB", 1, end, SCP_NUMBERS[lead]) for lead, end in zip(leads, ends, strict=True))
    bodies = {
        1: b"".join(struct.pack("<BH", tag, len(value)) + value for tag, value in tags),
        2: tables,
        3: struct.pack("<BB", len(leads), 0x04 | len(leads) << 3 & 0xFF | subtracted) + rows,
        4: zones,
        5: beat,
        6: rhythm,
    }
    sections, pointers, at = [], [], 6 + 16 + 12 * 10
    for number in range(1, 12):
        body = bodies.get(number)
        if body is None:
            pointers.append(struct.pack("<HII", number, 0, 0))
            continue
        body += b"\0" * (len(body) % 2)
        rest = struct.pack("<HIBB6x", number, len(body) + 16, 20, 20) + body
        sections.append(struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest)
        pointers.append(struct.pack("<HII", number, len(body) + 16, at + 1))
        at += len(body) + 16
    table = struct.pack("<HII", 0, 16 + 12 * 10, 7) + b"".join(pointers)
    rest = struct.pack("<HIBB6s", 0, 16 + len(table), 20, 20, b"SCPECG") + table
    record = struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest + b"".join(sections)
    record = struct.pack("<I", len(record) + 6) + record
    return struct.pack("<H", binascii.crc_hqx(record, 0xFFFF)) + record


def scp_zones(milliseconds: int, fiducial: int, beats: list[tuple[int, int, int]]) -> bytes:
    """Section 4: reference beat, and per beat its first sample, fiducial point and last sample."""
    head = struct.pack("<HHH", milliseconds, fiducial, len(beats))
    return head + b"".join(struct.pack("<HIII", 0, *beat) for beat in beats)


def read(path: Path, content: bytes) -> Record:
    """Write a file and read it as a recording, which must not hold what identifies the patient."""
    path.write_bytes(content)
    made = read_record(path)
    for word in ("TESTNAM", "TESTID", "1950", "1951"):
        assert word not in repr(made)
    return made


def refused(path: Path, content: bytes, *words: str) -> InputError:
    """Write a file that must be refused with a sentence that holds the words."""
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_record(path)
    text = str(caught.value)
    for word in (path.name, *words):
        assert word in text, text
    return caught.value
