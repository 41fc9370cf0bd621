"""TLS towards clients and towards upstreams. Versions and ciphers are those of Python's defaults (TLS 1.2 and up)."""

import ssl


def server_context(cert: str, key: str, client_ca: str | None = None) -> ssl.SSLContext:
    """To be verified by clients; with `client_ca`, to verify them too.

    Args:
        cert: PEM file of the chain.
        key: PEM file of its private key.
        client_ca: PEM file of the authorities whose certificates clients must show.

    Raises:
        OSError: A file cannot be read, or holds something else (ssl.SSLError is one).
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(cert, key)
    return context


def client_context(
    *, ca: str | None = None, cert: str | None = None, key: str | None = None, verify: bool = True
) -> ssl.SSLContext:
    """To verify an upstream, and with `cert` to be verified by it.

    Args:
        ca: PEM file of the authorities trusted instead of the system's.
        cert: PEM file of our chain.
        key: PEM file of its private key.
        verify: Without, anybody may answer in the upstream's name.

    Raises:
        OSError: A file cannot be read, or holds something else (ssl.SSLError is one).
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    if cert:
        context.load_cert_chain(cert, key)
    return context
