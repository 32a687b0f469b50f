"""A scripted hostile client: speaks the daemon handshake and sends what it is told."""
import socket

from harness import LIMIT, rest


def mux(data, code=0):
    return len(data).to_bytes(3, "little") + bytes([7 + code]) + data


def entry(name, mode=0o100644, size=0, flags=0x18, mtime=0x6553F100):
    """One file-list entry of protocol 31 in byte-flags form, no ids, size below 64 KiB."""
    size3 = bytes([size >> 16, size & 0xFF, size >> 8 & 0xFF])
    t = mtime.to_bytes(4, "little")
    return bytes([flags, len(name)]) + name + size3 + bytes([t[3]]) + t[:3] + mode.to_bytes(4, "little")


def push(port, module, flist, after=b"", args=(b"-te.LsfxCI",), path=None):
    """Pushes a raw list (framed here); returns everything the daemon said."""
    with socket.create_connection(("127.0.0.1", port), LIMIT) as s:
        s.settimeout(LIMIT)
        words = [b"--server", *args, b"--checksum-seed=1", b".", path or module + b"/"]
        s.sendall(b"@RSYNCD: 31.0 md5\n" + module + b"\n" + b"\0".join(words) + b"\0\0" + mux(flist) + after)
        s.shutdown(socket.SHUT_WR)
        return rest(s)
