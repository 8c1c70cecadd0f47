"""Certificates for brokers, clients and HTTP servers with TLS."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

DAY = datetime.timedelta(days=1)


def certificate(folder: Path, name: str, *, issuer: Path | None = None, password: str = "", days: int = 2) -> Path:
    """Make a certificate for this machine; return its file, which has its key, too, encrypted with a `password`.

    `authority_of` the file has the certificate alone. It is signed by that of `issuer`, by default by itself. It has
    expired if `days` is negative.
    """
    made, key = folder / f"{name}.pem", rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = issued_by = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signing = key
    if issuer is not None:
        text = issuer.read_bytes()
        signing, issued_by = load_pem_private_key(text, None), x509.load_pem_x509_certificate(text).subject
    here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder(issued_by, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - 5 * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.SubjectAlternativeName(here), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    text = builder.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    authority_of(made).write_bytes(text)
    hidden = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    made.write_bytes(secret + text)
    return made


def authority_of(made: Path) -> Path:
    """Return the file that has a certificate without its key."""
    return made.with_suffix(".crt")
