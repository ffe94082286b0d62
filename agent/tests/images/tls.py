"""TLS in front of a port of loopback: tls.py CERTIFICATE KEY PORT. Prints its own port."""

import socket
import ssl
import sys
import threading

certificate, key, port = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


def copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        sink.close()


def serve(plain):
    try:
        near = context.wrap_socket(plain, server_side=True)
    except OSError as err:
        return print(f"tls: {err}", file=sys.stderr)
    far = socket.create_connection(("127.0.0.1", int(port)))
    threading.Thread(target=copy, args=(near, far), daemon=True).start()
    copy(far, near)


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
