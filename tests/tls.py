"""Certificates, right and wrong, and a server that shows one and writes down what it is told after the handshake."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

CERTIFICATES = ("right", "expired", "host", "other")
"""What `make_certificates` makes: one that is right, one that is expired, one of another host, and one of another authority."""


def make_certificates(folder):
    """Write into *folder* an authority (ca.pem) and, for each of CERTIFICATES, NAME.pem (with its chain) and NAME.key; return the folder."""
    authority, other = trustme.CA(), trustme.CA()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    made = {
        "right": authority.issue_cert("localhost"),
        "expired": authority.issue_cert("localhost", not_before=yesterday - timedelta(days=1), not_after=yesterday),
        "host": authority.issue_cert("example.org"),
        "other": other.issue_cert("localhost"),
    }
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, certificate in made.items():
        # Java reads keys in PKCS #8 only.
        key = load_pem_private_key(certificate.private_key_pem.bytes(), password=None)
        (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        for part in certificate.cert_chain_pems:
            part.write_to_path(folder / f"{name}.pem", append=True)
    return folder


@contextmanager
def tls_server(folder, certificate):
    """Listen with a certificate of *folder*; yield the port and what clients said after the handshake."""
    heard = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(plain, server_side=True) as secure:
                    heard.append(secure.recv(100))
            except OSError:
                plain.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], heard
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)
