"""Who signs: a key of this user's own, made at its first use, or a real certificate that was named.

The own key is an Ed25519 key whose certificate a root made beside it has signed; the root's key is thrown away at
once. Nobody else trusts that root: it shows that videos come from one place, and whether they were changed since. Key
and certificates are one file, which appears at once and whole, and is readable by its owner alone.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from avsc_tf.core.errors import ProvenanceError

FOLDER_VARIABLE = "AVSC_TF_SIGNING_DIR"
IDENTITY_NAME, ROOT_NAME = "identity.pem", "root.pem"
VALID_DAYS = 3650
_BACKDATED = datetime.timedelta(days=1)  # clocks of readers differ
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Identity:
    """A private key with its certificates, the signer's first, as PEM; `algorithm` in C2PA's words."""

    private_key: str
    certificates: str
    algorithm: str
    name: str


def signing_folder() -> Path:
    """Where the own key lies: $AVSC_TF_SIGNING_DIR, or avsc_tf/signing in the user's configuration.

    Raises:
        ProvenanceError: no folder is named, and this user has no home.
    """
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    try:
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    except RuntimeError as error:
        raise ProvenanceError(
            "This user has no home folder to keep the key that signs converted videos in. Name a folder of your own in "
            f"{FOLDER_VARIABLE}, or a real certificate (docs/provenance.md)."
        ) from error
    return Path(base) / "avsc_tf" / "signing"


def own_identity(folder: Path | None = None) -> Identity:
    """The own key, made if there is none; two processes that make it at once get the same one.

    Raises:
        ProvenanceError: the folder cannot be written, or the key is damaged, expired or readable by others.
    """
    folder = folder or signing_folder()
    path = folder / IDENTITY_NAME
    try:
        if not path.exists():
            _make(folder, path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise ProvenanceError(f"{path}: others may read this private key. Run `chmod 600 {path}`.")
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ProvenanceError(
            f"{path}: the key that signs converted videos cannot be made or read ({reason}). Name a folder of your own "
            f"in {FOLDER_VARIABLE}, or a real certificate (docs/provenance.md)."
        ) from error
    return _checked(text, text, path, f"Move {path} away: another key is made at the next conversion.")


def named_identity(certificate: Path, private_key: Path) -> Identity:
    """A real certificate (PEM, its chain behind it) and its private key (PEM, not encrypted).

    Raises:
        ProvenanceError: missing, damaged, expired, or not two of a pair.
    """
    texts = []
    for path in (certificate, private_key):
        try:
            texts.append(path.read_text("ascii"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ProvenanceError(f"{path}: cannot be read as PEM ({reason}). Name a PEM file.") from error
    return _checked(texts[1], texts[0], certificate, "Ask whoever issued it for a new one.", key_path=private_key)


def certificates_in(path: Path) -> str:
    """The certificates of a PEM file, and nothing else of it. Raises ProvenanceError where there are none."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ProvenanceError(f"{path}: holds no certificates (PEM). Name a file that does.") from error
    return "".join(_pem(certificate) for certificate in found)


def own_root(folder: Path | None = None) -> str:
    """The root certificate of the own key as PEM; "" where no key was made yet."""
    try:
        path = (folder or signing_folder()) / IDENTITY_NAME
        return _pem(x509.load_pem_x509_certificates(path.read_bytes())[-1])
    except (OSError, ValueError, ProvenanceError):
        return ""


def _checked(key_text: str, chain_text: str, path: Path, remedy: str, *, key_path: Path | None = None) -> Identity:
    try:
        chain = x509.load_pem_x509_certificates(chain_text.encode())
    except ValueError as error:
        raise ProvenanceError(f"{path}: holds no whole certificate. {remedy}") from error
    if len(chain) != chain_text.count("BEGIN CERTIFICATE"):
        raise ProvenanceError(f"{path}: holds a damaged certificate. {remedy}")
    try:
        key = serialization.load_pem_private_key(key_text.encode(), password=None)
    except TypeError as error:
        raise ProvenanceError(f"{key_path or path}: the private key is encrypted. Name a decrypted one.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ProvenanceError(f"{key_path or path}: holds no whole private key. {remedy}") from error
    if key.public_key() != chain[0].public_key():
        raise ProvenanceError(f"{path}: its first certificate is of another key. Put the signer's certificate first.")
    now = datetime.datetime.now(datetime.UTC)
    for certificate in chain:
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise ProvenanceError(
                f"{path}: a certificate is valid from {certificate.not_valid_before_utc:%Y-%m-%d} to "
                f"{certificate.not_valid_after_utc:%Y-%m-%d} only. {remedy}"
            )
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    names = chain[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Identity(plain, "".join(map(_pem, chain)), _algorithm(key, path), str(names[0].value) if names else "")


def _algorithm(key: object, path: Path) -> str:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    raise ProvenanceError(f"{path}: keys of C2PA are Ed25519, RSA or of a NIST curve. Name another certificate.")


def _make(folder: Path, path: Path) -> None:
    """Write the file beside, and link it to its name unless another process was faster."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key, certificates = _new_pair()
    descriptor, partial = tempfile.mkstemp(dir=folder, prefix=".identity.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(key + certificates[0] + certificates[1])
        with contextlib.suppress(FileExistsError):
            os.link(partial, path)
    finally:
        os.unlink(partial)
    descriptor, partial = tempfile.mkstemp(dir=folder, prefix=".root.")
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(own_root(folder))
    os.chmod(partial, 0o644)
    os.replace(partial, folder / ROOT_NAME)


def _new_pair() -> tuple[str, tuple[str, str]]:
    """A private key and the certificates of signer and root, as PEM. The profile: C2PA 2.x, "X.509 Certificates"."""
    root_key, key = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    root_name, name = (_name(text) for text in ("avsc_tf root of one computer", "avsc_tf on one computer"))
    root_id = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = (
        _unsigned(root_name, root_name, root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs=False), critical=True)
        .add_extension(root_id, critical=False)
        .sign(root_key, None)
    )
    leaf = (
        _unsigned(name, root_name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_id), critical=False)
        .sign(root_key, None)
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return text, (_pem(leaf), _pem(root))


def _unsigned(subject: x509.Name, issuer: x509.Name, public_key: ed25519.Ed25519PublicKey) -> x509.CertificateBuilder:
    start = datetime.datetime.now(datetime.UTC) - _BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=VALID_DAYS))
    )


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not signs,
        crl_sign=not signs,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    values = ((NameOID.ORGANIZATION_NAME, "avsc_tf, local key"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in values])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
