"""Who made a bundle: signatures of our own and of OpenSSL's keys, and everything that must be refused."""

import shutil

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from helpers import run_cli

from edge import Detector
from edge.signature import check_signature, read_private_key, read_public_key, sign
from edge.verified import load
from omi_keras.recordings.errors import InputError

# The seed of RFC 8032, section 7.1, test 1, as a PKCS #8 file, like those of  openssl genpkey -algorithm ed25519.
PRIVATE = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""
# From there too: its public key, and the signature of the empty message.
PUBLIC_RAW = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
SIGNATURE_OF_NOTHING = (
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
    "655141438e7a100b"
)


def write_public(path, key):
    kinds = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(key.public_key().public_bytes(*kinds))
    return path


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "private.pem").write_text(PRIVATE, encoding="utf-8")
    key = read_private_key(tmp_path / "private.pem")
    return tmp_path / "private.pem", write_public(tmp_path / "public.pem", key)


@pytest.fixture
def signed(int8_bundle, keys, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(int8_bundle, bundle)
    sign(bundle, read_private_key(keys[0]))
    return bundle


def test_the_standards_own_example(keys):
    key = read_private_key(keys[0])
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    assert key.public_key().public_bytes(*raw).hex() == PUBLIC_RAW
    assert key.sign(b"").hex() == SIGNATURE_OF_NOTHING


def test_a_signed_bundle_is_accepted(signed, keys):
    Detector(signed, public_key=keys[1])
    result = run_cli("check-parity", signed, "--verify", keys[1])
    assert result.exit_code == 0, result.output


def test_export_signs(small_bundle):
    """Made through the command line, with OpenSSL's kind of key file."""
    key = small_bundle.parent / "public.pem"
    check_signature(small_bundle, read_public_key(key), load(small_bundle)[1])
    assert (small_bundle / "manifest.sig").stat().st_size == 64


def rewrite(bundle):
    """The same values, written otherwise: what was signed are bytes."""
    manifest = bundle / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")


def alter(bundle):
    content = bytearray((bundle / "manifest.sig").read_bytes())
    content[5] ^= 1
    (bundle / "manifest.sig").write_bytes(content)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda bundle: (bundle / "manifest.sig").unlink(), "is not signed"),
        (lambda bundle: (bundle / "manifest.sig").write_bytes(b""), "was not signed with this key"),
        (lambda bundle: (bundle / "manifest.sig").write_bytes(bytes(65)), "was not signed with this key"),
        (alter, "was not signed with this key"),
        (rewrite, "was not signed with this key"),
    ],
)
def test_what_is_not_signed_is_refused(signed, keys, change, sentence):
    change(signed)
    with pytest.raises(InputError, match=sentence):
        Detector(signed, public_key=keys[1])
    assert run_cli("check-parity", signed, "--verify", keys[1]).exit_code == 1
    assert run_cli("predict", signed, "ecg.hea", "--verify", keys[1]).exit_code == 2


def test_another_key_is_refused(signed, tmp_path):
    other = write_public(tmp_path / "other.pem", ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(InputError, match="was not signed with this key"):
        Detector(signed, public_key=other)


def test_what_is_used_is_what_was_signed(signed, keys, monkeypatch):
    """Files that are exchanged after they were read change nothing: signature and network are of the same bytes."""
    from edge import detector

    once = load(signed)
    monkeypatch.setattr(detector, "load", lambda bundle: once)
    (signed / "manifest.json").write_text("{}", encoding="utf-8")
    (signed / "manifest.sig").unlink()
    assert Detector(signed, public_key=keys[1]).threshold == once[0]["threshold"]
    other = once[0], once[1] | {"manifest.json": once[1]["manifest.json"] + b" "}
    monkeypatch.setattr(detector, "load", lambda bundle: other)
    with pytest.raises(InputError, match="was not signed with this key"):
        Detector(signed, public_key=keys[1])


def test_check_parity_judges_what_was_signed(signed, keys, monkeypatch):
    """The bundle is read once, and that is what is verified and replayed."""
    from edge import verified

    reads = []
    load_once = verified.load
    monkeypatch.setattr(verified, "load", lambda bundle: reads.append(bundle) or load_once(bundle))
    assert run_cli("check-parity", signed, "--verify", keys[1]).exit_code == 0
    assert reads == [signed]


def test_keys_that_are_none(int8_bundle, keys, tmp_path):
    private, public = keys
    with pytest.raises(InputError, match="is no private Ed25519 key"):
        read_private_key(public)
    with pytest.raises(InputError, match="is no public Ed25519 key"):
        read_public_key(private)
    with pytest.raises(InputError, match="No such file"):
        read_public_key(tmp_path / "absent.pem")
    curve = write_public(tmp_path / "curve.pem", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(InputError, match="is no public Ed25519 key"):
        read_public_key(curve)
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    )
    (tmp_path / "locked.pem").write_bytes(locked)
    with pytest.raises(InputError, match="without a password"):
        read_private_key(tmp_path / "locked.pem")


def test_a_model_folder_is_never_signed(model_folder, keys):
    result = run_cli("predict", model_folder, "ecg.hea", "--verify", keys[1])
    assert result.exit_code == 2
    assert "only bundles are signed" in result.output
