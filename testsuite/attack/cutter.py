"""A TCP proxy that ends the connection after a given number of bytes, from either side."""
import selectors
import socket
import struct
import threading


class Cutter:
    """One connection: forwards until `after` bytes have gone in direction `way` ("up": from the client, "down": to it),
    then ends both sides, by FIN or by RST. after None: never. moved: bytes forwarded each way."""

    def __init__(self, port, way="up", after=None, reset=False):
        self.port, self.way, self.after, self.reset = port, way, after, reset
        self.moved = {"up": 0, "down": 0}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(30)
        self.thread = threading.Thread(target=self.run)

    def url(self, path):
        return f"rsync://127.0.0.1:{self.listener.getsockname()[1]}/{path}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.thread.join()
        self.listener.close()

    def run(self):
        client = self.listener.accept()[0]
        server = socket.create_connection(("127.0.0.1", self.port))
        with client, server, selectors.DefaultSelector() as sel:
            sel.register(client, selectors.EVENT_READ, ("up", server))
            sel.register(server, selectors.EVENT_READ, ("down", client))
            try:
                while sel.get_map():
                    for key, _ in sel.select():
                        if not self.forward(sel, key):
                            return
            except OSError:
                return

    def forward(self, sel, key):
        way, other = key.data
        left = self.after - self.moved[way] if self.after is not None and way == self.way else 65536
        data = key.fileobj.recv(min(left, 65536))
        if not data:
            sel.unregister(key.fileobj)
            other.shutdown(socket.SHUT_WR)
            return True
        other.sendall(data)
        self.moved[way] += len(data)
        if self.after is None or self.moved[self.way] < self.after:
            return True
        if self.reset:
            for s in (key.fileobj, other):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
