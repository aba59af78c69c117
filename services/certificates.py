"""Certificates for a broker on loopback and its clients, made on the spot with openssl."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.cache import Part, needed, run

_DAYS = "825"
# Ours, for the machine's default would add extensions of its own.
_CONFIGURATION = "[req]\ndistinguished_name = name\nprompt = no\n[name]\n"


@dataclass(frozen=True)
class Certificates:
    """PEM files. `broker` is key and certificate in one, as Kafka's PEM key store wants it."""

    ca: Path
    broker: Path
    client: Path
    client_key: Path


def certificates(folder: Path) -> Certificates:
    """Those of this folder; made if they are not all there."""
    made = Certificates(
        folder / "ca.pem", folder / "broker.pem", folder / "client.pem", folder / "client.key"
    )
    files = (made.ca, made.broker, made.client, made.client_key)
    if not all(file.exists() for file in files):
        folder.mkdir(mode=0o700, exist_ok=True)
        _make(folder, made)
    return made


def _make(folder: Path, made: Certificates) -> None:
    configuration, ca_key, broker_key = (folder / n for n in ("req.cnf", "ca.key", "broker.key"))
    configuration.write_text(_CONFIGURATION)
    # P-256: as good as RSA here, and made in milliseconds.
    request: list[Part] = [needed("openssl", "openssl"), "req", "-x509", "-config", configuration]
    request += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    request += ["-days", _DAYS]
    is_ca = "basicConstraints=critical,CA:TRUE"
    own = [*request, "-subj", "/CN=alcyon services", "-addext", is_ca]
    run([*own, "-keyout", ca_key, "-out", made.ca])
    signed = [*request, "-CA", made.ca, "-CAkey", ca_key]
    signed += ["-addext", "basicConstraints=critical,CA:FALSE"]
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    for_broker = ["-subj", "/CN=localhost", "-addext", names]
    run([*signed, *for_broker, "-keyout", broker_key, "-out", made.broker])
    made.broker.write_text(broker_key.read_text() + made.broker.read_text())
    made.broker.chmod(0o600)
    run([*signed, "-subj", "/CN=alcyon", "-keyout", made.client_key, "-out", made.client])
    # Nobody signs more with it.
    ca_key.unlink()
    broker_key.unlink()
