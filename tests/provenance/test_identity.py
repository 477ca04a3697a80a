from __future__ import annotations

import datetime
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from avsc_tf.core.errors import ProvenanceError
from avsc_tf.provenance import identity as module
from avsc_tf.provenance.identity import certificates_in, named_identity, own_identity, own_root, signing_folder
from avsc_tf.provenance.marking import Provenance

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def test_the_own_key_is_made_once_and_read_by_its_owner_alone(tmp_path) -> None:
    folder = tmp_path / "a" / "signing"
    assert own_root(folder) == ""
    first = own_identity(folder)
    assert own_identity(folder) == first and first.algorithm == "ed25519"
    assert (folder / "identity.pem").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "root.pem").read_text(encoding="utf-8") == own_root(folder)
    assert "PRIVATE" not in (folder / "root.pem").read_text(encoding="utf-8")
    assert sorted(path.name for path in folder.iterdir()) == ["identity.pem", "root.pem"]
    leaf, root = x509.load_pem_x509_certificates(first.certificates.encode())
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)


def test_two_folders_have_two_keys(tmp_path) -> None:
    assert own_identity(tmp_path / "a").private_key != own_identity(tmp_path / "b").private_key


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"AVSC_TF_SIGNING_DIR": "/x"}, "/x"),
        ({"XDG_CONFIG_HOME": "/c"}, "/c/avsc_tf/signing"),
        ({"HOME": "/h"}, "/h/.config/avsc_tf/signing"),
    ],
)
def test_where_the_key_lies(monkeypatch, variables, folder) -> None:
    for name in ("AVSC_TF_SIGNING_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert signing_folder() == Path(folder)


def test_processes_that_start_together_get_one_key(tmp_path) -> None:
    code = "from avsc_tf.provenance.identity import own_identity; print(own_identity().certificates)"
    environment = {**os.environ, "AVSC_TF_SIGNING_DIR": str(tmp_path / "new")}
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    outputs = {process.communicate(timeout=60)[0] for process in running}
    assert len(outputs) == 1 and "BEGIN CERTIFICATE" in outputs.pop()
    assert all(process.returncode == 0 for process in running)


def test_a_key_that_appears_meanwhile_is_kept(tmp_path, monkeypatch) -> None:
    """Exactly between looking and writing: the slower process takes the faster one's key."""
    faster = own_identity(tmp_path / "faster")
    make_pair = module._new_pair

    def slow_pair():
        (tmp_path / "slow" / "identity.pem").write_bytes((tmp_path / "faster" / "identity.pem").read_bytes())
        (tmp_path / "slow" / "identity.pem").chmod(0o600)
        return make_pair()

    monkeypatch.setattr(module, "_new_pair", slow_pair)
    assert own_identity(tmp_path / "slow") == faster


def test_a_key_that_others_may_read_is_refused(tmp_path) -> None:
    own_identity(tmp_path)
    (tmp_path / "identity.pem").chmod(0o640)
    with pytest.raises(ProvenanceError, match=r"identity.pem: others may read.*chmod 600"):
        own_identity(tmp_path)


@pytest.mark.parametrize("keep", [0, 60, 400, 1000])
def test_a_damaged_key_is_named(tmp_path, keep) -> None:
    own_identity(tmp_path)
    path = tmp_path / "identity.pem"
    path.write_text(path.read_text(encoding="utf-8")[:keep], encoding="utf-8")
    with pytest.raises(ProvenanceError, match=r"identity.pem: .*Move .*identity.pem away|first certificate"):
        own_identity(tmp_path)


def test_a_key_that_is_no_text_is_named(tmp_path) -> None:
    own_identity(tmp_path)
    (tmp_path / "identity.pem").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProvenanceError, match=r"identity.pem: the key that signs .* cannot be made or read"):
        own_identity(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ProvenanceError, match=r"cannot be made or read \(Not a directory\).*AVSC_TF_SIGNING_DIR"):
        own_identity(tmp_path / "file" / "signing")


def test_an_expired_key_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "VALID_DAYS", 0)
    with pytest.raises(ProvenanceError, match=r"valid from .* to .* only. Move .*identity.pem away"):
        own_identity(tmp_path)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_named_certificate_needs_its_own_open_key(tmp_path, encrypted) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    write_pair(tmp_path, key, password=b"secret" if encrypted else None)
    if encrypted:
        with pytest.raises(ProvenanceError, match=r"key.pem: the private key is encrypted"):
            named_identity(tmp_path / "certificate.pem", tmp_path / "key.pem")
        return
    assert named_identity(tmp_path / "certificate.pem", tmp_path / "key.pem").algorithm == "es256"
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(other)
    with pytest.raises(ProvenanceError, match=r"certificate.pem: its first certificate is of another key"):
        named_identity(tmp_path / "certificate.pem", tmp_path / "key.pem")


def test_keys_that_c2pa_does_not_know_are_refused(tmp_path) -> None:
    write_pair(tmp_path, ec.generate_private_key(ec.SECP256K1()))
    with pytest.raises(ProvenanceError, match=r"keys of C2PA are Ed25519, RSA or of a NIST curve"):
        named_identity(tmp_path / "certificate.pem", tmp_path / "key.pem")


def test_missing_files_and_halves_of_a_pair_are_named(tmp_path) -> None:
    with pytest.raises(ProvenanceError, match=r"none.pem: cannot be read as PEM \(No such file"):
        named_identity(tmp_path / "none.pem", tmp_path / "key.pem")
    with pytest.raises(ProvenanceError, match="go together"):
        Provenance(certificate=tmp_path / "x.pem").identity()
    with pytest.raises(ProvenanceError, match="holds no certificates"):
        certificates_in(tmp_path / "none.pem")


def test_of_a_file_with_a_key_only_its_certificates_are_taken(tmp_path) -> None:
    own_identity(tmp_path)
    taken = certificates_in(tmp_path / "identity.pem")
    assert taken.count("BEGIN CERTIFICATE") == 2 and "PRIVATE" not in taken


def write_pair(
    folder: Path, key: ec.EllipticCurvePrivateKey, *, password: bytes | None = None, days: float = 1
) -> None:
    """A self-signed certificate and its key as files."""
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a tester")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(PEM, PKCS8, lock))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(PEM))
