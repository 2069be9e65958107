"""Checkpoints that mean harm: nothing of them runs, and each ends in one sentence, soon and in little memory."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import run_cli
from torch_files import Call, Global, Instance, Persistent, Raw, Stored, opcodes, pickled, save, tensor

from omi_keras.models.weights.torch_checkpoint import read_checkpoint
from omi_keras.recordings.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = {"0": np.zeros(4, np.float32).tobytes()}
SECONDS, GIGABYTE = 5, 2**30
# It touches the marker when it is imported, made, called, asked for an attribute or given a state.
HARM = """
import pathlib
def touch(*_, **__):
    pathlib.Path({marker!r}).touch()
touch()
class Harm:
    def __new__(cls, *_): touch(); return object.__new__(cls)
    def __setstate__(self, state): touch()
    def __setattr__(self, name, value): touch()
    def __call__(self, *_): touch()
    def __hash__(self): touch(); return 0
"""
READ = """
import json, resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
import copyreg
copyreg._inverted_registry[7] = ("harm", "Harm")
copyreg._extension_cache[8] = print
from omi_keras.models.weights.torch_checkpoint import read_checkpoint
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.errors import InputError
said = {{}}
for path in sorted(Path(sys.argv[1]).glob("*.pt")):
    start = time.process_time()
    try:
        read_checkpoint(path)
        sentence = "read"
    except InputError as error:
        sentence = str(error)
    said[path.stem] = [time.process_time() - start, sentence]
print(json.dumps(said))
"""


def calls(marker):
    """Everything by which a pickle can have code run."""
    shell = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w')"
    module = Call("builtins.__import__", ("os",))
    function = Call("builtins.getattr", (module, "system"))
    return {
        "system": Call("os.system", (shell,)),
        "posix": Call("posix.system", (shell,)),
        "popen": Call("subprocess.Popen", (["touch", str(marker)],)),
        "exec": Call("builtins.exec", (code,)),
        "eval": Call("__builtin__.eval", (code,)),
        "getattr": Raw(opcodes(function) + opcodes((shell,)) + b"R"),
        "copyreg": Call("copyreg._reconstructor", (Global("harm.Harm"), Global("builtins.object"), None)),
        "newobj": Instance("harm.Harm", {"x": 1}),
        "setstate": Instance("harm.Harm", ({"x": 1}, {"y": 2})),
        "newobj_ex": Raw(b"charm\nHarm\n)}\x92"),
        "stack_global": Raw(opcodes("harm") + opcodes("touch") + b"\x93)R"),
        "inst": Raw(f"(S'{shell}'\nios\nsystem\n".encode()),
        "obj": Raw(b"(cos\nsystem\n" + opcodes(shell) + b"o"),
        "ext1": Raw(b"\x82\x07)R"),
        "ext2": Raw(b"\x83\x08\x00)R"),
        "ext4": Raw(b"\x84\x07\x00\x00\x00)\x81"),
        "called again": Raw(opcodes(Call("harm.Harm")) + b")R"),
        "hashed": {"weights": Raw(b"}" + opcodes(Call("harm.Harm")) + b"Ns")},
        "storage": Call("torch.storage._load_from_bytes", (pickle.dumps(print),)),
        "parameter": Call("torch._utils._rebuild_parameter", (Call("os.system", (shell,)), True, None)),
        "numpy": Call("numpy.core.multiarray._reconstruct", (Global("numpy.ndarray"), (2**40,), "f8")),
        "tensor of a kind": Call("torch._tensor._rebuild_from_type_v2", (Global("os.system"), None, (shell,), None)),
    }


def harm(folder, marker):
    """Write one file for each way to do harm."""
    for name, call in calls(marker).items():
        save(folder / f"{name}.pt", {"state_dict": {"fc1.weight": call}})
        save(folder / f"whole {name}.pt", call)
        parts = (0x1950A86A20F9469CFC6C, 1001, call, {"weight": call}, [])
        (folder / f"legacy {name}.pt").write_bytes(b"".join(map(pickled, parts)))
    for name, content in lies().items():
        save(folder / f"{name}.pt", {"fc1.weight": content}, NUMBERS)
    for name, bomb in (bombs() | floods()).items():
        save(folder / f"{name}.pt", b"\x80\x04" + bomb + b".", NUMBERS)
    zips(folder)


def lies():
    far = Persistent(("storage", Global("torch.FloatStorage"), "../../../../etc/passwd", "cpu", 4))
    rebuild = "torch._utils._rebuild_tensor_v2"
    return {
        "count": tensor("0", "FloatStorage", 2**39, 0, (2**39,), (1,)),
        "negative count": tensor("0", "FloatStorage", -4, 0, (4,), (1,)),
        "another type": tensor("0", "DoubleStorage", 4, 0, (4,), (1,)),
        "no type": tensor("0", "Storage", 4, 0, (4,), (1,)),
        "no such key": tensor("1", "FloatStorage", 4, 0, (4,), (1,)),
        "key that is no text": tensor(0, "FloatStorage", 4, 0, (4,), (1,)),
        "path as a key": Call(rebuild, (far, 0, (4,), (1,))),
        "beyond the end": tensor("0", "FloatStorage", 4, 3, (2,), (1,)),
        "negative offset": tensor("0", "FloatStorage", 4, -1, (4,), (1,)),
        "negative stride": tensor("0", "FloatStorage", 4, 3, (4,), (-1,)),
        "large stride": tensor("0", "FloatStorage", 4, 0, (2,), (2**39,)),
        "large and empty": tensor("0", "FloatStorage", 4, 0, (0, 2**39, 2**39), (1, 1, 1)),
        "repeated": tensor("0", "FloatStorage", 4, 0, (2**20, 2**20), (0, 0)),
        "axes": tensor("0", "FloatStorage", 4, 0, (1,) * 70, (1,) * 70),
        "axes without strides": tensor("0", "FloatStorage", 4, 0, (2, 2), (1,)),
        "shape that is no tuple": tensor("0", "FloatStorage", 4, 0, "ab", "cd"),
        "no storage": Call(rebuild, ("0", 0, (4,), (1,))),
        "no arguments": Call(rebuild, ()),
        "arguments that are no tuple": Call(rebuild, 4),
        "persistent text": Raw(b"P../../etc/passwd\n"),
        "persistent nothing": Raw(b"NQ"),
    }


def bombs():
    deep = b"]" * 400_000 + b"a" * 399_999
    # t0 = (), t1 = (t0, t0), ...: the hash of the last would take 2 ** 60 steps.
    twice = b")" + b"2\x86" * 60
    colliding = b"".join(b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") + b"N" for k in range(1, 60_000))
    part = _part(b"}")
    chain = part + b"\x94"
    for n in range(60):
        chain += b"0" + _part(b"}(U\x01ah%cU\x01bh%cu" % (n, n)) + b"\x94"
    return {
        "text": b"\x8d" + struct.pack("<Q", 2**62),
        "bytes": b"\x8e" + struct.pack("<Q", 2**62),
        "bytearray": b"\x96" + struct.pack("<Q", 2**40),
        "long": b"\x8b" + struct.pack("<i", 2**31 - 1),
        "negative long": b"\x8b" + struct.pack("<i", -1),
        "digits": b"L" + b"9" * 1_000_000 + b"L\n",
        "frame": b"\x95" + struct.pack("<Q", 2**63 - 1) + b"N",
        "memo": b"Nr\xff\xff\xff\xff",
        "negative memo": b"Np-1\n",
        "large memo": b"Np" + b"9" * 100 + b"\n",
        "no memo": b"h\x05",
        "deep": deep,
        "deep tuples": b")" + b"\x85" * 400_000,
        "hashes": b"}" + twice + b"Ns",
        "hashes in a set": b"\x8f(" + twice + b"\x90",
        "collisions": b"}(" + colliding + b"u",
        "for ever": b"}" * (20 * 2**20),
        "long pickle": b"B" + struct.pack("<I", 40 * 2**20) + b"x" * (40 * 2**20),
        "in itself": b"}\x94U\x05modelh\x00s",
        "module of no names": _part(b"}K\x01" + _part(b"}") + b"s"),
        "set of no list": part.replace(b"}(U", b"}(U\x1b_non_persistent_buffers_setcbuiltins\nset\nK\x01\x85RU", 1),
        "state of no dict": b"clab\nNet\n)\x81K\x01b",
        "module in itself": b"clab\nNet\n)\x81\x94}(U\x0b_parameters}U\x08_buffers}U\x08_modules}U\x01ah\x00sub",
        "modules doubled": chain,
        "buffer": b"\x97",
        "no opcode": b"\xff",
        "underflow": b"\x87\x87",
        "marks": b"tttu",
        "build on a name": b"cos\nsystem\n}U\x01xNsb",
        "append to a name": b"cos\nsystem\nNa",
        "names": b"}(U\x05\x1b[2J\nNU\x05\r\n\x00abNu",
        "empty": b"",
    }


def floods():
    """Little that is named again and again, so that whoever copies it has much."""
    many = b"(" + b"N" * 200_000 + b"t\x940"
    pairs = b"NN\x86\x940]\x94(" + b"h\x00" * 200_000 + b"e0ccollections\nOrderedDict\n\x94"
    tensor_of = b"ctorch._utils\n_rebuild_tensor_v2\n\x94"
    names = b"}\x94(" + b"".join(b"U\x06%06dN" % number for number in range(99_000)) + b"u0"
    crowded = b"clab\nNet\n)\x81}(U\x0b_parametersh\x00U\x08_buffersh\x00U\x08_modules}ub\x94"
    long = b"X" + struct.pack("<I", 2**20) + b"n" * 2**20 + b"\x940"
    nested, good = _part(b"}") + b"\x94", opcodes(tensor("0", "FloatStorage", 4, 0, (4,), (1,)))
    types = Global("torch._tensor._rebuild_from_type_v2").opcodes + b"\x94"
    for n in range(1, 40):
        nested += b"0" + _part(b"}(h\x00h%cU\x01ah%cu" % (n, n)) + b"\x94"
    return {
        "pairs": pairs + b"h\x02h\x01\x85R0" * 50_000 + b"N",
        "arguments": many + tensor_of + b"h\x01h\x00R0" * 50_000 + b"N",
        "parts": many + b"h\x00Q0" * 90_000 + b"N",
        "states": names + b"clab\nNet\n)\x81\x94" + b"h\x00b" * 90_000,
        "crowds": names + crowded + b"0" + _part(b"}(" + b"".join(b"U\x04%04dh\x01" % n for n in range(9999)) + b"u"),
        "long names": long + nested,
        "prefixes": b"}X" + struct.pack("<I", 7 * 10**6) + b"module." * 10**6 + good + b"s",
        "types of types": types + b"h\x00N" * 50_000 + b")" + b"\x87" * 50_000 + b"R",
    }


def _part(modules):
    return b"clab\nNet\n)\x81}(U\x0b_parameters}U\x08_buffers}U\x08_modules" + modules + b"ub"


def zips(folder):
    good = {"w": Stored().tensor(np.zeros(4, np.float32))}
    bomb = {"0": bytes(300 * 2**20)}
    big = {"w": tensor("0", "ByteStorage", 300 * 2**20, 0, (300 * 2**20,), (1,))}
    save(folder / "zip bomb.pt", big, bomb, compression=zipfile.ZIP_DEFLATED)
    save(folder / "compressed pickle.pt", pickled("x" * 2**20), NUMBERS, compression=zipfile.ZIP_DEFLATED)
    path = save(folder / "zip that lies.pt", good, NUMBERS)
    content = path.read_bytes()
    for place in range(len(content)):
        if content[place : place + 4] == b"PK\x01\x02":
            content = content[: place + 20] + struct.pack("<II", 2**31, 2**31) + content[place + 28 :]
    path.write_bytes(content)
    save(folder / "wrong checksum.pt", good, NUMBERS)
    content = (folder / "wrong checksum.pt").read_bytes()
    at = content.index(b"archive/data/0") + len("archive/data/0")
    (folder / "wrong checksum.pt").write_bytes(content[:at] + b"\1" + content[at + 1 :])
    (folder / "cut.pt").write_bytes(content[: len(content) // 2])
    save(folder / "byte order.pt", good, NUMBERS, byteorder=b"middle")
    with zipfile.ZipFile(folder / "paths.pt", "w") as file:
        file.writestr("../../data.pkl", pickled(good))
        file.writestr("../../data/0", NUMBERS["0"])
    with zipfile.ZipFile(folder / "many members.pt", "w") as file:
        for number in range(60_000):
            file.writestr(zipfile.ZipInfo(f"archive/{number:0200d}"), b"")
    shared = {str(n): tensor("0", "ByteStorage", 4 * 2**20, 0, (4 * 2**20,), (1,)) for n in range(200)}
    save(folder / "one storage again and again.pt", shared, {"0": bytes(4 * 2**20)})
    entry = {str(n): tensor(str(n), "ByteStorage", 4 * 2**20, 0, (1,), (1,)) for n in range(200)}
    save(folder / "members on one place.pt", entry, {"0": bytes(4 * 2**20)})
    (folder / "legacy length.pt").write_bytes(
        b"".join(map(pickled, (0x1950A86A20F9469CFC6C, 1001, {}, good, ["0"]))) + struct.pack("<q", 2**60)
    )
    (folder / "legacy without end.pt").write_bytes(pickled(0x1950A86A20F9469CFC6C)[:-1] + b"N0" * 400_000)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What reading each says, in a process that may take a gigabyte; afterwards, no marker."""
    folder = tmp_path_factory.mktemp("hostile")
    marker = folder / "executed"
    harm(folder, marker)
    (folder / "harm.py").write_text(HARM.format(marker=str(marker)), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", READ.format(limit=GIGABYTE), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return json.loads(done.stdout), marker, folder


def test_nothing_of_them_is_executed(said):
    sentences, marker, _ = said
    assert len(sentences) > 100
    assert not marker.exists()
    assert "passwd" not in json.dumps(sentences)


def test_the_marker_shows_what_a_pickle_can_do(said, tmp_path):
    """The same opcodes in Python's own reader do harm: the files are no straw men."""
    marker = tmp_path / "executed"
    for name in ("system", "posix", "exec", "getattr", "stack_global", "inst", "obj", "newobj", "ext1"):
        data = pickled(calls(marker)[name])
        code = (
            "import copyreg, pickle, sys; copyreg._inverted_registry[7] = ('harm', 'Harm')\n"
            "pickle.loads(bytes.fromhex(sys.argv[1]))"
        )
        (tmp_path / "harm.py").write_text(HARM.format(marker=str(marker)), encoding="utf-8")
        subprocess.run([sys.executable, "-c", code, data.hex()], cwd=tmp_path, timeout=60, capture_output=True)
        assert marker.exists(), name
        marker.unlink()


def test_each_ends_in_one_sentence_that_names_the_file(said):
    for name, (_, sentence) in said[0].items():
        assert f"{name}.pt" in sentence, (name, sentence)
        assert len(sentence.splitlines()) == 1 and len(sentence) < 600, (name, sentence)


def test_each_ends_soon(said):
    slow = {name: seconds for name, (seconds, _) in said[0].items() if seconds > SECONDS}
    assert not slow


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("system", "not tensors: fc1.weight"),
        ("whole system", "holds no state dict"),
        ("zip bomb", "compressed"),
        ("repeated", "160 MiB or 5000"),
        ("one storage again and again", "160 MiB or 5000"),
        ("count", "160 MiB or 5000"),
        ("beyond the end", "damaged"),
        ("names", "not tensors"),
    ],
)
def test_sentences(said, name, part):
    assert part in said[0][name][1]


def test_a_module_with_harm_in_what_is_not_needed_is_read_and_the_harm_is_not_done(tmp_path):
    marker, stored = tmp_path / "executed", Stored()
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    hooks = {name: call for name, call in calls(marker).items() if name not in ("parameter", "tensor of a kind")}
    content = {"model": stored.module({"fc.weight": weight}, hooks=list(hooks.values())), "epoch": hooks["system"]}
    parameters = read_checkpoint(save(tmp_path / "module.pt", content, stored))
    np.testing.assert_array_equal(parameters["fc.weight"], weight)
    assert list(parameters) == ["fc.weight"]
    assert not marker.exists()


def test_on_the_command_line(tmp_path):
    marker = tmp_path / "executed"
    save(tmp_path / "bomb.pt", {"state_dict": calls(marker)["system"]})
    done = run_cli("import-torch", tmp_path / "bomb.pt", tmp_path / "model", "--model", "mayo-alvd")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1 and "bomb.pt" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bomb.pt"]


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
def test_damage_anywhere_is_told_and_trips_nothing(legacy, tmp_path):
    """Bytes that are changed, cut out and doubled: a sentence, or parameters that the bytes could have meant."""
    rng, stored = np.random.default_rng(5), Stored()
    content = stored.module({"body.fc.weight": np.zeros((2, 2), np.float32), "body.bn.running_var": np.ones(2)})
    whole = pickled({"model": content, "epoch": 3})
    start = b"".join(map(pickled, (0x1950A86A20F9469CFC6C, 1001, {})))
    refused = 0
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            at, length = rng.integers(len(data)), rng.integers(1, 12)
            new = [
                rng.bytes(1),
                b"",
                bytes(data[at : at + length]) * 2,
                bytes(data[rng.integers(len(data)) :][:length]),
            ]
            data[at : at + length] = new[rng.integers(len(new))]
        path = tmp_path / "damaged.pt"
        if legacy:
            path.write_bytes(start + data + pickled(list(stored)))
        else:
            save(path, bytes(data), stored)
        try:
            read_checkpoint(path)
        except InputError as error:
            refused += 1
            assert "damaged.pt" in str(error) and len(str(error).splitlines()) == 1
    assert refused > 300
