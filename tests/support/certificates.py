"""Certificates for brokers with TLS."""

import subprocess
from pathlib import Path


def certificate(folder: Path, name: str) -> Path:
    """Make a self-signed certificate for this machine; return its file, which contains the key too."""
    made = folder / f"{name}.pem"
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, "-keyout", "-"]
    made.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    return made
