"""Somebody else's server: speaks TLS and enough HTTP/2 to be spoken to, and keeps all that reaches it in the clear."""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from manyhands.wire.pinning import Identity

#: An HTTP/2 frame: until the server has sent its settings, gRPC says nothing.
_NO_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


class TlsListener:
    """Accepts connections on a free port of this machine, one after the other, and reads each to its end."""

    def __init__(self, identity: Identity, maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.maximum_version = maximum
        self._context.set_alpn_protocols(["h2"])
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder, "certificate"), Path(folder, "key")
            certificate.write_bytes(identity.certificate_pem)
            key.write_bytes(identity.key_pem)
            self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        #: What was decrypted, over all connections.
        self.received = bytearray()
        #: How each connection's handshake went: the version agreed on, or why none was.
        self.handshakes: list[str] = []
        self._accepted: socket.socket | None = None
        self._serving = threading.Thread(target=self._serve)
        self._serving.start()

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:  # closed
                return
            with accepted:
                accepted.settimeout(10)
                try:
                    with self._context.wrap_socket(accepted, server_side=True) as secured:
                        self._accepted = secured
                        self.handshakes.append(str(secured.version()))
                        secured.sendall(_NO_SETTINGS)
                        while data := secured.recv(65536):
                            self.received += data
                except OSError as error:
                    self.handshakes.append(str(error))

    def hang_up(self) -> None:
        """End the latest connection whose handshake went well."""
        assert self._accepted is not None
        self._accepted.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # which wakes `accept`
        self._listener.close()
        self._serving.join(20)
        assert not self._serving.is_alive()
