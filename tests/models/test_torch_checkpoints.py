"""Files that PyTorch wrote are read without it, and hold what PyTorch reads from them."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import run_cli, torch_original

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from omi_keras.beats.model_inputs import model_input  # noqa: E402
from omi_keras.model import load_model  # noqa: E402
from omi_keras.models.weights.torch_checkpoint import read_checkpoint  # noqa: E402
from omi_keras.recordings.errors import InputError  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
BASE = torch.arange(24.0).reshape(4, 6) / 7
TENSORS = {
    "as it is": BASE,
    "double": BASE.double(),
    "half": BASE.half(),
    "bfloat16": BASE.bfloat16(),
    "bfloat16 transposed": BASE.bfloat16().T,
    "bool": BASE > 1,
    "complex": torch.complex(BASE, -BASE),
    "uint8": BASE.to(torch.uint8),
    "transposed": BASE.T,
    "window": BASE[1:, 2:5],
    "every second": BASE[::2, ::3],
    "channels last": torch.arange(120.0).reshape(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "expanded": torch.arange(3.0).expand(5, 3),
    "parameter": torch.nn.Parameter(BASE[2]),
    "with attributes": torch.ones(3),
    "parameter with attributes": torch.nn.Parameter(torch.ones(3)),
    "number": torch.tensor(7),
    "empty": torch.zeros(0, 3),
    "nan": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
}
TENSORS["with attributes"].note = TENSORS["parameter with attributes"].note = "kept in the file, not here"
FORMS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])


def reference(value):
    wide = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    return wide.detach().numpy()


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert (found[name].shape, found[name].dtype) == (value.shape, value.dtype), name
        np.testing.assert_array_equal(found[name], value, err_msg=name)
        if value.dtype.kind == "f":  # −0 is 0 otherwise
            np.testing.assert_array_equal(np.signbit(found[name]), np.signbit(value), err_msg=name)


@FORMS
def test_every_kind_of_tensor_is_that_of_pytorch(zipped, tmp_path):
    torch.save(TENSORS, tmp_path / "tensors.pt", _use_new_zipfile_serialization=zipped)
    expected = torch.load(tmp_path / "tensors.pt", weights_only=True)
    assert_same(read_checkpoint(tmp_path / "tensors.pt"), {name: reference(value) for name, value in expected.items()})


def test_types_without_a_storage_of_their_own(tmp_path):
    tensors = {kind: torch.arange(5).to(getattr(torch, kind)) for kind in ("uint16", "uint32", "uint64")}
    torch.save(tensors, tmp_path / "tensors.pt")
    assert_same(read_checkpoint(tmp_path / "tensors.pt"), {name: value.numpy() for name, value in tensors.items()})


def test_shared_storages_and_tied_weights(tmp_path):
    embedding = torch.nn.Linear(6, 4)
    network = torch.nn.ModuleDict({"first": embedding, "again": embedding, "other": torch.nn.Linear(6, 4)})
    network["other"].weight = embedding.weight
    for content in (network, network.state_dict()):
        torch.save(content, tmp_path / "tied.pt")
        expected = {name: reference(value) for name, value in network.state_dict().items()}
        assert_same(read_checkpoint(tmp_path / "tied.pt"), expected)


def test_bytes_of_a_big_endian_machine(tmp_path):
    """PyTorch reads such a file, too: its own reader is the reference."""
    tensors = {name: value for name, value in TENSORS.items() if not value.is_complex()}
    torch.save(tensors, tmp_path / "little.pt")
    # Bytes of a number in each storage, in the order in which PyTorch numbers them.
    sizes = {value.untyped_storage().data_ptr() or id(value): value.element_size() for value in tensors.values()}
    with zipfile.ZipFile(tmp_path / "little.pt") as little, zipfile.ZipFile(tmp_path / "big.pt", "w") as big:
        for entry in little.infolist():
            name, content = entry.filename.partition("/")[2], little.read(entry)
            if name == "byteorder":
                content = b"big"
            elif name.startswith("data/"):
                kind = f"<u{list(sizes.values())[int(name.removeprefix('data/'))]}"
                content = np.frombuffer(content, kind).byteswap().tobytes()
            big.writestr(f"big/{name}", content)
    expected = torch.load(tmp_path / "big.pt", weights_only=True)
    assert_same(read_checkpoint(tmp_path / "big.pt"), {name: reference(value) for name, value in expected.items()})
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "big.pt")["as it is"], BASE.numpy())


def test_files_without_checksums(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": BASE}, tmp_path / "no.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "no.pt")["w"], BASE.numpy())


class Lab(torch.nn.Module):
    """What labs save: nested, with a buffer that is not saved, one that is, a parameter that is none."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv2d(1, 4, (1, 7), bias=False), torch.nn.BatchNorm2d(4))
        self.scales = torch.nn.ParameterList([torch.nn.Parameter(torch.rand(3)), torch.nn.Parameter(torch.rand(2))])
        self.register_buffer("window", torch.hann_window(5))
        self.register_buffer("cache", torch.rand(5), persistent=False)
        self.register_parameter("nothing", None)
        self.hook = torch.nn.ReLU()
        self.body[0].weight.data = self.body[0].weight.data.half()
        self.metrics = {"auc": np.array([0.5, 0.9])}


@FORMS
@pytest.mark.parametrize(
    "wrap",
    [lambda m: m, lambda m: {"model": m, "epoch": 3}, torch.nn.DataParallel, lambda m: {"state_dict": {"model": m}}],
    ids=["alone", "in a dict", "parallel", "nested"],
)
def test_a_whole_module_gives_its_state_dict(zipped, wrap, tmp_path):
    network = Lab()
    torch.save(wrap(network), tmp_path / "module.pt", _use_new_zipfile_serialization=zipped)
    expected = {name: reference(value) for name, value in network.state_dict().items()}
    assert_same(read_checkpoint(tmp_path / "module.pt"), expected)


def test_protocols_of_pickle(tmp_path):
    """torch.save takes any; protocol 4 and 5 know sets, frames and names on the stack."""
    for protocol in (2, 3, 4, 5):
        network = Lab()
        torch.save(network, tmp_path / "module.pt", pickle_protocol=protocol)
        expected = {name: reference(value) for name, value in network.state_dict().items()}
        assert_same(read_checkpoint(tmp_path / "module.pt"), expected)


def test_batch_normalisation_with_another_epsilon_is_refused(tmp_path):
    torch.save(torch.nn.Sequential(torch.nn.BatchNorm2d(3, eps=1e-3)), tmp_path / "module.pt")
    with pytest.raises(InputError, match=r"module.pt: its batch normalisation 0 has eps 0.001"):
        read_checkpoint(tmp_path / "module.pt")


# Where it is imported there is neither PyTorch nor the class.
IMPORT = """
import sys
class NoTorch:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, NoTorch())
from omi_keras.cli import main
for arguments in sys.argv[1:]:
    main(arguments.split("|"), standalone_mode=False)
"""


def test_modules_whose_class_is_not_there_compute_the_same_without_pytorch(tmp_path):
    cases = [("mayo-alvd", "zscore-400"), ("ecg-smart-net", "zscore-400"), ("ecg-smart-net", "maxabs-200")]
    networks = {name: torch_original(name) for name, _ in cases}
    for name, network in networks.items():
        torch.save({"epoch": 7, "model": network}, tmp_path / f"{name}.pt")
    calls = [
        f"import-torch|{tmp_path / name}.pt|{tmp_path / name}-{contract}|--model|{name}|--input|{contract}"
        for name, contract in cases
    ]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", IMPORT, *calls]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", env=environment)
    assert done.returncode == 0, done.stderr
    assert "assumed" not in done.stderr
    beats = np.random.default_rng(1).normal(0, 0.5, (6, 12, 600)).cumsum(-1).astype(np.float32)
    for name, contract in cases:
        model = load_model(tmp_path / f"{name}-{contract}")
        assert model.contract == contract
        x = model_input(beats, contract)
        with torch.no_grad():
            expected = networks[name](torch.from_numpy(x[:, None])).numpy()
        found = np.asarray(model.network(x[..., None]))
        assert np.abs(found - expected).max() <= 1e-6 * max(np.abs(expected).max(), 1)
        probability = np.exp(expected[:, 1]) / np.exp(expected).sum(1)
        np.testing.assert_allclose(model.probability(beats), probability, atol=1e-5)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {}},
        lambda state: {"module." + name: value for name, value in state.items()},
        lambda state: {"model." + name: value for name, value in state.items()},
        lambda state: {"state_dict": {"model.module." + name: value for name, value in state.items()}},
        lambda state: {"model_state_dict": {"_orig_mod." + name: value for name, value in state.items()}},
    ],
    ids=["state_dict", "model", "module.", "model.", "lightning", "compiled"],
)
def test_wrapped_state_dicts(wrap, tmp_path):
    network = torch_original("mayo-alvd")
    torch.save(wrap(network.state_dict()), tmp_path / "weights.pt")
    expected = {name: reference(value) for name, value in network.state_dict().items()}
    assert_same(read_checkpoint(tmp_path / "weights.pt"), expected)


def test_what_an_optimizer_saved_is_passed_over(tmp_path):
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(4, 3)).sum().backward()
    optimizer.step()
    content = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
    torch.save(content, tmp_path / "all.pt")
    expected = {name: reference(value) for name, value in network.state_dict().items()}
    assert_same(read_checkpoint(tmp_path / "all.pt"), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_program_is_refused_with_the_two_lines_that_help(tmp_path):
    path = tmp_path / "whole.pt"
    torch.jit.trace(torch_original("mayo-alvd"), torch.zeros(1, 1, 12, 400)).save(path)
    done = run_cli("import-torch", path, tmp_path / "model", "--model", "mayo-alvd")
    assert done.exit_code == 2
    assert "  model = torch.jit.load('whole.pt')\n  torch.save(model.state_dict()" in done.stderr
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"state_dict": [1]}, {"state_dict": {}}, None, BASE])
def test_what_holds_no_state_dict_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt"):
        read_checkpoint(tmp_path / "other.pt")
