"""A certificate authority for this machine only, and the certificate of the side services.

The product accepts https:// issuers and webhooks only, so the local ones need a certificate that clients can verify.
Made anew at each start, valid for a month; nothing outside the state directory learns to trust it.
"""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local.stack.configuration import LOOPBACK

VALIDITY = datetime.timedelta(days=30)


@dataclass(frozen=True)
class ServerCertificate:
    """Files of a server certificate, its private key, and the authorities that its clients have to trust (PEM)."""

    certificate: Path
    private_key: Path
    trust_bundle: Path


def issue_server_certificate(directory: Path, trust_bundle: Path) -> ServerCertificate:
    """Makes an authority and a certificate for 127.0.0.1 and localhost.

    The trust bundle holds certifi's public authorities too, because SSL_CERT_FILE replaces a client's own list.
    The authority's private key is never written, so nothing can be signed with it later.
    """
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kbfleet local development")])
    authority = (
        _certificate(authority_name, authority_name, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    server_key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
    server = (
        _certificate(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOOPBACK)]),
            authority_name,
            server_key.public_key(),
            now,
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    files = ServerCertificate(directory / "server.pem", directory / "server-key.pem", trust_bundle)
    files.certificate.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    write_private_key(files.private_key, server_key)
    files.trust_bundle.write_bytes(
        Path(certifi.where()).read_bytes() + b"\n" + authority.public_bytes(serialization.Encoding.PEM)
    )
    return files


def write_private_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    """Writes a private key as PKCS #8 PEM that only the user can read."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # A minute back: clocks of virtual machines step.
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + VALIDITY)
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
