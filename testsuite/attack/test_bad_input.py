"""Bad input from the greeting to the transfer: every row goes to the stock daemon and to kedge, both with the same
configuration. The peer is told the same, the connection ends, the log says why, nothing is left and nobody notices.
"""
import base64
import errno
import hashlib
import os
import re
import signal
import struct
import subprocess
import time

import pytest
from harness import Daemon, IS_ROOT, LIMIT, SANITIZED, STOCK_350, client, digest, kill_pids, state, write_file
from peer import entry, mux

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}
G = b"@RSYNCD: 31.0 sha512 md5\n"
PUSH = b"--server\0-te.LsfxCI\0--checksum-seed=1\0.\0"
PULL = b"--server\0--sender\0-te.LsfxCI\0--checksum-seed=1\0.\0"
NO_RULES = mux(b"\0\0\0\0")
GONE = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)
EXIT = b"\x04\x00\x00]"         # the head of MSG_ERROR_EXIT


def modules(work):
    data, up, secrets = (os.path.join(work, n) for n in ("data", "up", "secrets"))
    for d in (data, up):
        os.makedirs(d, exist_ok=True)
    write_file(data + "/hello", b"hello\n")
    write_file(secrets, b"joe:secret\n@grp:x\n", 0o600)
    return {"m": {"path": data, **IDS}, "up": {"path": up, "read only": "no", **IDS},
            "wo": {"path": up, "read only": "no", "write only": "yes", **IDS},
            "auth": {"path": data, "auth users": "joe, bob:deny", "secrets file": secrets, **IDS},
            "denied": {"path": data, "hosts deny": "*", **IDS}, "hidden": {"path": data, "hosts deny": "*", "list": "no", **IDS},
            "nopath": IDS, "ref": {"path": data, "refuse options": "delete checksum", **IDS}}


# ---- a row and the conversation ----

class Row:
    """steps: bytes, or a function of the challenge, or ("wait", bytes) for what the daemon must say first.
    says: what kedge answers where it is not what stock does; log: what its log says; stays: the peer closes, not the daemon."""

    def __init__(self, *steps, says=None, log=None, stays=False):
        self.steps, self.says, self.log, self.stays = steps, says, log, stays


def talk(port, row, stays=False):
    """Everything the daemon sends until it ends the connection."""
    import socket
    got = b""
    with socket.create_connection(("127.0.0.1", port), LIMIT) as s:
        s.settimeout(LIMIT)
        try:
            for step in row.steps:
                wanted = step[1] if isinstance(step, tuple) else b"AUTHREQD " if callable(step) else None
                while wanted and not (wanted in got and (got.endswith(b"\n") or not callable(step))):
                    piece = s.recv(65536)
                    assert piece, got
                    got += piece
                if callable(step):
                    step = step(got.rsplit(b"AUTHREQD ", 1)[1].strip())
                if not isinstance(step, tuple):
                    s.sendall(step)
            open_ = not (row.stays or stays)
            if not open_:
                s.shutdown(socket.SHUT_WR)
        except OSError as e:
            assert e.errno in GONE, e
            open_ = False
        try:
            while True:
                piece = s.recv(65536)
                if not piece:
                    return got
                got += piece
                if open_ and (EXIT in got or b"@ERROR" in got or b"@RSYNCD: EXIT" in got):
                    open_ = False
                    s.shutdown(socket.SHUT_WR)
        except OSError as e:
            assert e.errno in GONE, e
            return got


def plain(text):
    """Without what names the program and the place in its source."""
    text = re.sub(r" at \S+\(\d+\)(?= \[)", "", text)
    text = re.sub(r"\[(\w+)=[0-9.]+\]", r"[\1]", text)
    text = re.sub(r" \(file=\S+, line=\d+\)", "", text)
    return re.sub(r"\[\w+\]$", "", text) if text.startswith("rsync error:") else text


def answer(got, proto=31):
    """The lines and messages of an answer, without what is chance: challenge, seed, the file list."""
    lines, rest = [], got
    while rest and not (lines and lines[-1] == "@RSYNCD: OK") and b"\n" in rest:
        line, rest = rest.split(b"\n", 1)
        lines.append(re.sub(r"AUTHREQD \S+", "AUTHREQD *", line.decode("latin-1")))
    assert lines and lines[0].startswith("@RSYNCD: 32.0 sha512"), got
    if not lines or lines[-1] != "@RSYNCD: OK":
        return lines[1:] + ([rest] if rest else [])
    said = lines[1:]
    rest = rest[(1 if proto >= 30 else 0) + 4:]
    while len(rest) >= 4:
        size, code = int.from_bytes(rest[:3], "little"), rest[3] - 7
        body, rest = rest[4:4 + size], rest[4 + size:]
        if code == 86:
            said.append(("exit", int.from_bytes(body, "little")))
        elif code > 0:
            text = plain(body.decode("latin-1").rstrip("\n"))
            # Two processes of a stock receiver may both tell how they end.
            if not (text.startswith("rsync error:") and any(isinstance(x, str) and x.startswith("rsync error:") for x in said)):
                said.append(text)
    return said


def response(user, password, digest_name="sha512", end=b"\n"):
    return lambda c: user + b" " + base64.b64encode(hashlib.new(digest_name, password + c).digest()).rstrip(b"=") + end


def auth(answer_, **kw):
    return Row(G + b"auth\n", answer_ if callable(answer_) else lambda c: answer_, **kw)


def request(module, args, *more, **kw):
    return Row(G + module + b"\n" + args, *more, **kw)


def greeting(line, then=b"#list\n", **kw):
    return Row(line + b"\n" + then, **kw)


STARTUP = ["@ERROR: protocol startup error"]
BAD_GREETING = r"malformed greeting from localhost \(127\.0\.0\.1\)"
BAD_LINE = r"over-long line or NUL byte from localhost \(127\.0\.0\.1\)"
BAD_COMMAND = r"unknown command from localhost \(127\.0\.0\.1\)"
LISTED = r"module-list request from localhost"
FAILED = r"auth failed on module auth from localhost \(127\.0\.0\.1\)"

HANDSHAKE = {
    "wrong word": greeting(b"@RSYNCE: 31.0 md5", log=BAD_GREETING),
    "lower case": greeting(b"@rsyncd: 31.0 md5", log=BAD_GREETING),
    "another protocol": Row(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", log=BAD_GREETING),
    "an empty line": Row(b"\n", log=BAD_GREETING),
    "no number": greeting(b"@RSYNCD: abc md5", log=BAD_GREETING),
    "nothing behind the word": greeting(b"@RSYNCD:", log=BAD_GREETING),
    "number 0": greeting(b"@RSYNCD: 0.0 md5", says=STARTUP, log=BAD_GREETING),
    "number below 0": greeting(b"@RSYNCD: -31.0 md5", says=STARTUP, log=BAD_GREETING),
    "number with a sign": greeting(b"@RSYNCD: +31.0 md5", says=STARTUP, log=BAD_GREETING),
    "number of eleven digits": greeting(b"@RSYNCD: 99999999999.0 md5", says=STARTUP, log=BAD_GREETING),
    "number far above ours": greeting(b"@RSYNCD: 999999999.0 md5", log=LISTED),
    "number without a blank": greeting(b"@RSYNCD:31.0 md5", log=LISTED),
    "protocol too old": greeting(b"@RSYNCD: 26.0 md5", b"m\n--server\n--sender\n.\nm/\n\n", log="protocol 26 offered",
                                 says=["@ERROR: protocol version mismatch: this server speaks 27 to 32, your client 26"]),
    "protocol too old by its subprotocol": greeting(b"@RSYNCD: 27.1 md5", b"m\n", log="protocol 26 offered",
                                                    says=["@ERROR: protocol version mismatch: this server speaks 27 to 32, your client 26"]),
    "subprotocol missing": greeting(b"@RSYNCD: 31 md5", log=BAD_GREETING),
    "subprotocol of letters": greeting(b"@RSYNCD: 31.x md5", log=BAD_GREETING),
    "subprotocol below 0": greeting(b"@RSYNCD: 31.-1 md5", log=BAD_GREETING),
    "subprotocol of eleven digits": greeting(b"@RSYNCD: 31.99999999999 md5", log=BAD_GREETING,
                                             says=["@ERROR: your client omitted the subprotocol value: @RSYNCD: 31.99999999999 md5"]),
    "subprotocol and garbage": greeting(b"@RSYNCD: 31.1x md5", log=LISTED),
    "subprotocol of letters, protocol 29": greeting(b"@RSYNCD: 29.x", log=LISTED),
    "digest list missing": greeting(b"@RSYNCD: 32.0", log=BAD_GREETING),
    "digest list empty": greeting(b"@RSYNCD: 32.0 ", log=LISTED),
    "digest list of unknown names": greeting(b"@RSYNCD: 32.0 foo bar", b"auth\n", log="rsync allowed access on module auth"),
    "digest list of unknown names, no log-in": greeting(b"@RSYNCD: 32.0 foo bar", b"hidden\n", log="rsync denied on module hidden"),
    "digest list of a hundred names": greeting(b"@RSYNCD: 32.0 " + b"x " * 100 + b"md5", says=[], log=BAD_GREETING),
    "NUL in the greeting": greeting(b"@RSYNCD: 31\0.0 md5", log=BAD_LINE),
    "only NULs": Row(b"\0" * 100, log=BAD_LINE),
    "no newline": Row(b"@RSYNCD: 31.0 md5", stays=True, log="connect from localhost"),
    "nothing": Row(b"", stays=True, log="connect from localhost"),
    "binary": Row(bytes(range(1, 11)) * 20, log=BAD_GREETING),
    "greeting of 1022 bytes": greeting(b"@RSYNCD: 31.0 ".ljust(1022, b"a"), log=LISTED),
    "greeting of 1023 bytes": greeting(b"@RSYNCD: 31.0 ".ljust(1023, b"a"), log=BAD_LINE),
    "endless greeting": Row(b"@RSYNCD: 31.0 ".ljust(20000, b"a"), log=BAD_LINE),

    "unknown module": Row(G + b"nope\n", log="unknown module 'nope' tried from localhost"),
    "module in another case": Row(G + b"M\n", log="unknown module 'M'"),
    "module with a slash": Row(G + b"m/\n", log="unknown module 'm/'"),
    "module with a blank": Row(G + b" m\n", log="unknown module ' m'"),
    "module by a path": Row(G + b"../m\n", log=r"unknown module '\.\./m'"),
    "module with control characters": Row(G + b"a\x1b[31m\x07\xff\n", log=r"unknown module 'a\\#033\[31m\\#007"),
    "module of a format": Row(G + b"%s%n%s\n", log="unknown module '%s%n%s'"),
    "module named as a reply": Row(G + b"@RSYNCD: EXIT\n", log="unknown module '@RSYNCD: EXIT'"),
    "module of 1022 bytes": Row(G + b"m" * 1022 + b"\n", log="unknown module 'mmm"),
    "module of 1023 bytes": Row(G + b"m" * 1023 + b"\n", log=BAD_LINE),
    "NUL in the module": Row(G + b"m\0\n", log=BAD_LINE),
    "module without a newline": Row(G + b"m", stays=True, log="connect from localhost"),
    "#list and garbage": Row(G + b"#list foo\n", log=BAD_COMMAND),
    "#list and more": Row(G + b"#listx\n", log=BAD_COMMAND),
    "unknown command": Row(G + b"#foo\n", log=BAD_COMMAND),
    "empty command": Row(G + b"#\n", log=BAD_COMMAND),
    "command of 1022 bytes": Row(G + b"#" + b"x" * 1021 + b"\n", log=BAD_COMMAND),
    "early input of nothing": Row(G + b"#early_input=0\n", log=BAD_COMMAND),
    "early input below 0": Row(G + b"#early_input=-5\n", log=BAD_COMMAND),
    "early input of letters": Row(G + b"#early_input=x\n", log=BAD_COMMAND),
    "early input of 5121 bytes": Row(G + b"#early_input=5121\n", log=BAD_COMMAND),
    "early input beyond numbers": Row(G + b"#early_input=99999999999999\n", log=BAD_COMMAND),
    "early input cut": Row(G + b"#early_input=10\nabc", stays=True, log="connect from localhost"),
    "early input twice": Row(G + b"#early_input=1\na#early_input=1\nb", log=BAD_COMMAND),

    "unknown user": auth(response(b"eve", b"secret"), log=FAILED + " for eve: no matching rule"),
    "wrong password": auth(response(b"joe", b"wrong"), log=FAILED + " for joe: password mismatch"),
    "denied user": auth(response(b"bob", b"secret"), log=FAILED + " for bob: denied by rule"),
    "response of another digest": auth(response(b"joe", b"secret", "md5"), log=FAILED + " for joe: password mismatch"),
    "short response": auth(b"joe abc\n", log=FAILED + " for joe: password mismatch"),
    "padded response": auth(response(b"joe", b"secret", end=b"==\n"), log=FAILED + " for joe: password mismatch"),
    "response and a blank": auth(response(b"joe", b"secret", end=b" \n"), log=FAILED + " for joe: password mismatch"),
    "two blanks": auth(lambda c: b"joe " + response(b"joe", b"secret")(c)[3:], log=FAILED + " for joe: password mismatch"),
    "response of 4000 bytes": auth(b"joe " + b"a" * 4000 + b"\n", log=FAILED + " for joe: password mismatch"),
    "answer of 5118 bytes": auth(b"joe ".ljust(5118, b"a") + b"\n", log=FAILED + " for joe: password mismatch"),
    "answer of 5119 bytes": auth(b"joe ".ljust(5119, b"a") + b"\n", log=FAILED + ": invalid challenge response"),
    "empty answer": auth(b"\n", log=FAILED + ": invalid challenge response"),
    "answer without a blank": auth(b"joe\n", log=FAILED + ": invalid challenge response"),
    "answer without a user": auth(lambda c: response(b"joe", b"secret")(c)[3:], log=FAILED + " for : no matching rule"),
    "answer without a response": auth(b"joe \n", log=FAILED + " for joe: password mismatch"),
    "NUL in the answer": auth(b"joe\0 x\n", log=FAILED + ": invalid challenge response"),
    "no answer": Row(G + b"auth\n", stays=True, log=FAILED + ": invalid challenge response"),
    "half an answer": auth(b"joe x", stays=True, log=FAILED + ": invalid challenge response"),
    "group as a user": auth(response(b"@grp", b"x"), log=FAILED + " for @grp: no matching rule"),
    "user with a colon": auth(response(b"joe:", b"x"), log=FAILED),
    "user of a comment": auth(response(b"#joe", b"x"), log=FAILED),
    "user of a format": auth(b"%s%n%n x\n", log=FAILED + " for %s%n%n: no matching rule"),
    "user with control characters": auth(b"\x1b[2J\xff x\n", log=FAILED + r" for \\#033\[2J"),
    "user of 1000 bytes": auth(b"u" * 1000 + b" x\n", log=FAILED + " for uuu"),
    "no list, protocol 29, short response": Row(b"@RSYNCD: 29.0\nauth\n", lambda c: b"joe abc\n", log=FAILED + " for joe: password mismatch"),

    "denied host": Row(G + b"denied\n", log="rsync denied on module denied from localhost"),
    "denied host, hidden module": Row(G + b"hidden\n", log="rsync denied on module hidden from localhost"),
    "module without a path": Row(G + b"nopath\n", log="No path specified for module nopath"),
}


def fatal(code, text):
    return rf"{text}[^\n]*\n.*rsync error: .*\(code {code}\)"


def option(words, text, module=b"m"):
    """A mistake in the options: stock may reset the connection before the client has read how it ends."""
    return request(module, b"--server\0--sender\0" + words + b"\0-te.LsfxCI\0.\0" + module + b"/\0\0", NO_RULES,
                   says=["@RSYNCD: OK", text, "rsync error: requested action not supported (code 4) ", ("exit", 4)], log=fatal(4, re.escape(text)))


def pull(path, *stream, **kw):
    return request(b"m", PULL + b"m/" + path + b"\0\0", *stream, **kw)


def push(*stream, **kw):
    return request(b"up", PUSH + b"up/\0\0", *stream, **kw)


def rule(text):
    return mux(struct.pack("<i", len(text)) + text + b"\0\0\0\0")


def sums(count, block, strong, rest, more=b""):
    return pull(b"hello", NO_RULES + mux(b"\x01\0\x80" + struct.pack("<4i", count, block, strong, rest) + more), log=fatal(2, "Invalid .*sender"))


def data(stream, **kw):
    """A push of one file whose data is stream, sent once it has been asked for."""
    return push(mux(entry(b"f", size=3) + b"\0"), ("wait", b"\x01\x00\xa0" + b"\0" * 16), mux(b"\x01\0\xa0" + b"\0" * 16 + stream), **kw)


UNEXPECTED = r"unexpected tag \d+ \[\w+\]\n.*code 12"
CLOSED = r"connection unexpectedly closed \(\d+ bytes received so far\) \[\w+\]\n.*code 12"
OVERFLOW = r"buffer overflow: recv_file_entry\n.*code 22"

TRANSFER = {
    "push to a read-only module": request(b"m", PUSH + b"m/\0\0", log=fatal(1, "ERROR: module is read only")),
    "pull from a write-only module": request(b"wo", PULL + b"wo/\0\0", NO_RULES, log=fatal(1, "ERROR: module is write only")),
    "removing in a read-only module": request(b"m", b"--server\0--sender\0-r\0--remove-source-files\0.\0m/\0\0", NO_RULES,
                                              log=fatal(1, "ERROR: --remove-source-files cannot be used with a read-only module")),
    "0xff behind the arguments, pull": pull(b"", b"\xff" * 200, log=UNEXPECTED),
    "0xff behind the arguments, push": push(b"\xff" * 200, log=UNEXPECTED),
    "text behind the arguments": pull(b"", b"GET / HTTP/1.0\r\n\r\n", log=UNEXPECTED),
    "arguments cut behind a word": Row(G + b"m\n" + PULL + b"m/\0", stays=True, log=CLOSED),
    "arguments cut inside a word": Row(G + b"m\n" + PULL + b"m/", stays=True, log=CLOSED),
    "no arguments": Row(G + b"m\n", stays=True, says=["@RSYNCD: OK"], log=CLOSED),
    "an empty batch": request(b"m", b"\0", log=fatal(1, "ERROR: module is read only")),
    "only the dot": request(b"m", b".\0\0", log=fatal(1, "ERROR: module is read only")),
    "neither dot nor path": request(b"m", PULL[:-2] + b"\0", NO_RULES, log=fatal(1, "ERROR: do_server_sender called without args")),
    "no path": request(b"m", PULL + b"\0", NO_RULES, stays=True, log="rsync on .* from localhost"),
    "twenty thousand arguments": request(b"m", b"-v\0" * 20000 + b"\0", log=fatal(2, "too many daemon arguments")),
    "fifteen hundred paths": request(b"m", PULL + b"m/\0" * 1500 + b"\0", NO_RULES, stays=True, log="skipping directory"),
    "path of 5000 bytes": pull(b"x" * 5000, NO_RULES, stays=True, log="link_stat \"/xxx"),
    "argument of 9000 bytes": pull(b"x" * 9000, NO_RULES, says=["@RSYNCD: OK"], log=fatal(2, "over-long daemon argument")),
    "endless argument": request(b"m", b"x" * 200000, says=["@RSYNCD: OK"], log=fatal(2, "over-long daemon argument")),
    "unknown long option": option(b"--frobnicate", "rsync: on remote machine: --frobnicate: unknown option"),
    "unknown letter": option(b"-tY", "rsync: on remote machine: -tY: unknown option"),
    "option with control characters": request(
        b"m", b"--server\0--sender\0--\x1b[31m\0-te.LsfxCI\0.\0m/\0\0", NO_RULES, log=fatal(4, r"--\\#033\[31m: unknown option"),
        says=["@RSYNCD: OK", "rsync: on remote machine: --\x1b[31m: unknown option", "rsync error: requested action not supported (code 4) ", ("exit", 4)]),
    "option of a format": option(b"--%n%s", "rsync: on remote machine: --%n%s: unknown option"),
    "value that is no number": option(b"--timeout=x", "rsync: on remote machine: --timeout=x: invalid numeric value"),
    "block size below 0": option(b"-B-5", "rsync: --block-size=-5 is too large (max: 128.00K)"),
    "block size too large": option(b"-B999999999", "rsync: --block-size=999999999 is too large (max: 128.00K)"),
    "refused option": option(b"-c", "rsync: The server is configured to refuse --checksum (-c)", b"ref"),
    "--daemon": request(b"m", b"--server\0--daemon\0--sender\0-te.LsfxCI\0.\0m/\0\0", NO_RULES, log=fatal(4, "Attempt to hack rsync thwarted!")),
    "--sender alone": request(b"m", b"--sender\0-te.LsfxCI\0.\0m/\0\0", NO_RULES, log=fatal(1, "--sender without --server")),
    "path that climbs": pull(b"../../etc/passwd", NO_RULES, stays=True, log=r'change_dir "/etc" \(in m\) failed: No such file'),

    "rule length below 0": pull(b"", mux(struct.pack("<i", -5)), log=fatal(22, r"\[sender\] buffer overflow: recv_rules")),
    "rule length 2^30": pull(b"", mux(struct.pack("<i", 1 << 30) + b"x" * 10), log=fatal(22, r"\[sender\] buffer overflow: recv_rules")),
    "rule length 5120": pull(b"", mux(struct.pack("<i", 5120) + b"- " + b"x" * 5118), log=fatal(22, r"\[sender\] buffer overflow: recv_rules")),
    "unknown rule": pull(b"", rule(b"^ foo"), log=fatal(1, r"Unknown filter rule: \^ foo")),
    "rule without a pattern": pull(b"", rule(b"-"), log=fatal(1, "unexpected end of filter rule: -")),
    "unknown modifier": pull(b"", rule(b"-Z foo"), log=fatal(1, "invalid modifier 'Z' at position 1 in filter rule: -Z foo")),
    "NUL in a rule": pull(b"", rule(b"- a\0bc"), stays=True, log="skipping directory"),
    "rules cut": pull(b"", mux(b"\0\0"), stays=True, log=CLOSED),
    "unknown message": pull(b"", mux(b"abc", 86), log=r"invalid multi-message 86:3 \[sender\]\n.*code 12"),

    "list cut": push(mux(b"\x18\x05ab"), stays=True, log=CLOSED),
    "prefix beyond the last name": push(mux(b"\x38\x20\x01a" + entry(b"x")[3:]), log=fatal(2, "name prefix of 32 bytes, but the previous name has 0"),
                                        says=["@RSYNCD: OK", "name prefix of 32 bytes, but the previous name has 0",
                                              "rsync error: protocol incompatibility (code 2) ", ("exit", 2)]),
    "name of 2^31 - 1 bytes": push(mux(b"\x58\xf0\xff\xff\xff\x7f" + b"a" * 50), log=OVERFLOW),
    "name of -1 bytes": push(mux(b"\x58\xf0\xff\xff\xff\xff" + b"a" * 50), log=OVERFLOW),
    "varint without an end": push(mux(b"\x58" + b"\xff" * 50), log=r"Overflow in read_varint\(\)\n.*code 12"),
    "size below 0": push(mux(b"\x18\x01a\xfc" + b"\xff" * 8 + entry(b"x")[6:] + b"\0"), log=fatal(4, "Offset underflow: file-length is negative")),
    "impossible mode": push(mux(entry(b"f", mode=0o030000) + b"\0"), log=fatal(2, r"invalid file mode 030000 for f \[Receiver\]")),
    "absolute name": push(mux(entry(b"/etc/x") + b"\0"), log=fatal(4, "ABORTING due to unsafe pathname from sender: /etc/x")),
    "name that climbs": push(mux(entry(b"../x") + b"\0"), log=fatal(4, r"ABORTING due to unsafe pathname from sender: \.\./x")),

    "index beyond the list": pull(b"hello", NO_RULES + mux(b"\xfe\x7f\xff" + b"\0" * 20), log=fatal(2, r"File-list index 32766 not in -1 - 0")),
    "negative index": pull(b"hello", NO_RULES + mux(b"\xff\x60" + b"\0" * 20), log=fatal(2, r"Invalid file index: -97 \(-1 - 0\) \[sender\]")),
    "sums: count": sums(-1, 700, 16, 0),
    "sums: block length": sums(1, 1 << 30, 16, 0),
    "sums: block length below 0": sums(1, -1, 16, 0),
    "sums: digest length": sums(1, 700, 64, 0),
    "sums: digest length below 0": sums(1, 700, -1, 0),
    "sums: remainder": sums(1, 700, 16, 701),
    "sums cut": pull(b"hello", NO_RULES + mux(b"\x01\0\x80" + struct.pack("<4i", 10, 700, 16, 0) + b"x" * 30), stays=True, log=CLOSED),
    "request in phase 2": pull(b"hello", NO_RULES + mux(b"\0\0\x01\0\x80" + b"\0" * 16), log=fatal(2, r"got transfer request in phase 2 \[sender\]")),
    "deletion counts below 0": pull(b"hello", NO_RULES + mux(b"\xff\x02\xf0\xff\xff\xff\xff\0\0\0\0"), log=fatal(2, r"wire value deleted_files out of range: -1 not in")),
    "block that nobody has": data(struct.pack("<i", -5), log=fatal(2, r"Invalid block index 4 \(count=0\) \[receiver\]")),
    "delivery of an unknown index": push(mux(entry(b"f", size=3) + b"\0"), ("wait", b"\x01\x00\xa0" + b"\0" * 16), mux(b"\x05\0\x80" + b"\0" * 16),
                                         log=fatal(2, r"File-list index 4 not in -1 - 0 \(read_ndx_and_attrs\) \[receiver\]")),
}
ROWS = {**HANDSHAKE, **TRANSFER}


# ---- the tests ----

class Pair:
    """The stock daemon and kedge, served the same way."""

    def __init__(self, work):
        mods = modules(work)
        self.stock = Daemon(work, mods, binary=STOCK_350)
        try:
            self.kedge = Daemon(work, mods)
        except BaseException:
            self.stock.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stock.stop()
        self.kedge.__exit__(*exc)


def log_since(d, start):
    with open(d.log, "rb") as f:
        f.seek(start)
        return f.read().decode("latin-1")


def check_row(pair, name, row):
    start = os.path.getsize(pair.kedge.log)
    proto = 29 if b" 29." in row.steps[0] else 31
    theirs = answer(talk(pair.stock.port, row, row.says is not None), proto)
    ours = answer(talk(pair.kedge.port, row), proto)
    assert not pair.kedge.wait_idle(LIMIT), name
    wrong = []
    want = theirs if row.says is None else row.says
    if ours != want:
        wrong.append(f"{name}: {str(ours)[:300]} instead of {str(want)[:300]}")
    if row.says is not None and theirs == row.says:
        wrong.append(f"{name}: stock says this as well")
    text = log_since(pair.kedge, start)
    # "DATE [PID] TEXT": the records of one session, in their order.
    text = re.sub(r"^\S+ \S+ \[\d+\] ", "", text, flags=re.M)
    if not re.search(row.log, text):
        wrong.append(f"{name}: not in the log: {row.log}\n{text[-500:]}")
    if len(re.findall(row.log, text)) > 1 and not row.stays or len(re.findall("rsync error:", text)) > 1:
        wrong.append(f"{name}: more than once in the log\n{text[-500:]}")
    return wrong


@pytest.mark.parametrize("part", ["handshake", "transfer"])
def test_like_stock(work, part):
    wrong = []
    with Pair(work) as pair:
        for name, row in (HANDSHAKE if part == "handshake" else TRANSFER).items():
            wrong += check_row(pair, name, row)
        assert os.listdir(work + "/up") in ([], ["f"])
    assert not wrong, "\n".join(wrong)


def pss(d):
    """kB of the daemon and what it has started, program text left out: others may share it, and cease to."""
    total = 0
    for pid in [d.proc.pid, *d.sessions()]:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += int(re.search(r"^Pss_Anon:\s+(\d+)", f.read(), re.M)[1])
    return total


def test_nobody_notices(work):
    """Two hundred bad peers while a client's transfer hangs in the middle: it goes on, and the daemon has not grown."""
    big, got = os.path.join(work, "data/big"), os.path.join(work, "got")
    mods = modules(work)
    write_file(big, os.urandom(1 << 20) * 48)
    os.mkdir(got)
    with Daemon(work, mods) as d:
        idle = set(d.sessions())
        c = subprocess.Popen([STOCK_350, "-a", "--whole-file", d.url("m/big"), got + "/"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        end = time.time() + LIMIT
        # Stopped once the first bytes are there: the daemon's end then waits for it in the middle of the file.
        while not os.listdir(got) and c.poll() is None and time.time() < end:
            pass
        with open(f"/proc/{c.pid}/task/{c.pid}/children") as f:
            group = [c.pid, *map(int, f.read().split())]
        try:
            for pid in group:
                os.kill(pid, signal.SIGSTOP)
            neighbour = set(d.sessions()) - idle
            assert neighbour and c.poll() is None, "the transfer was over before it could be stopped"

            def all_rows(n):
                rows = list(ROWS.values())
                for i in range(n):
                    talk(d.port, rows[i % len(rows)])
                end = time.time() + LIMIT
                while set(d.sessions()) - neighbour - idle and time.time() < end:
                    time.sleep(0.02)
                assert set(d.sessions()) - idle == neighbour

            all_rows(60 if not SANITIZED else 20)
            before = pss(d)
            all_rows(200 if not SANITIZED else 20)
            grown = pss(d) - before
            # What a sanitizer keeps of freed memory is no leak.
            assert grown < (256 if not SANITIZED else 4096), f"{before} kB, {grown} kB more"
            for pid in group:
                assert state(pid) == "T"
                os.kill(pid, signal.SIGCONT)
            out = c.communicate(timeout=LIMIT)[0]
        finally:
            if c.poll() is None:
                kill_pids(group)
        assert c.returncode == 0 and not out, out
        assert digest(got + "/big") == digest(big)


CLOSED_AT = "rsync: connection unexpectedly closed [sender]\n"
CLIENT = {
    # id: (arguments, environment, what differs from stock on purpose: exit code and text, or None)
    "unknown module": (["@nope/"], {}, None),
    "denied": (["@denied/"], {}, None),
    "hidden": (["@hidden/"], {}, None),
    "no path": (["@nopath/"], {}, None),
    "wrong password": (["joe@auth/"], {"RSYNC_PASSWORD": "wrong"}, None),
    "unknown user": (["eve@auth/"], {"RSYNC_PASSWORD": "secret"}, None),
    "denied user": (["bob@auth/"], {"RSYNC_PASSWORD": "secret"}, None),
    "pull, write only": (["@wo/", "got/"], {}, None),
    "push, read only": (["data/", "@m/"], {}, None),
    # A reset of the connection, exit 10, with stock.
    "push, read only, protocol 30": (["-q", "--protocol=30", "data/", "@m/"], {}, (12, "ERROR: module is read only\n" + CLOSED_AT)),
    "push, read only, protocol 29": (["-q", "--protocol=29", "data/", "@m/"], {}, (12, "ERROR: module is read only\n" + CLOSED_AT)),
    "removing, read only": (["-r", "--remove-source-files", "@m/", "got/"], {}, None),
    "long path": (["-r", "@m/" + "x" * 4200, "got/"], {}, None),
    "missing file": (["-r", "@m/none", "got/"], {}, None),
    "climbing path": (["-r", "@m/../../etc/passwd", "got/"], {}, None),
    "protocol too old": (["--protocol=26", "-r", "@m/", "got/"], {},
                         (5, "@ERROR: protocol version mismatch: this server speaks 27 to 32, your client 26\n")),
    "unknown option": (["-M--frobnicate", "-r", "@m/", "got/"], {}, (4, "rsync: on remote machine: --frobnicate: unknown option\n")),
    "refused option": (["-rc", "@ref/", "got/"], {}, (4, "rsync: The server is configured to refuse --checksum (-c)\n")),
    "block size": (["-M-B999999999", "-r", "@m/", "got/"], {}, (4, "rsync: --block-size=999999999 is too large (max: 128.00K)\n")),
}


def test_what_a_client_prints(work):
    wrong = []
    with Pair(work) as pair:
        for name, (args, env, differs) in CLIENT.items():
            seen = []
            for d in (pair.stock, pair.kedge):
                words = [re.sub(r"^(\w*)@(?=\w)", lambda m: f"rsync://{m[1]}{'@' if m[1] else ''}127.0.0.1:{d.port}/", a) for a in args]
                r = client(words, cwd=work, env=env)
                text = "".join(plain(re.sub(r" \(\d+ bytes received so far\)", "", line)) + "\n" for line in (r.stdout + r.stderr).decode("latin-1").splitlines()
                               # How a stock server ends is told to its client, or is lost in a reset.
                               if not re.search(r"^rsync error:|read error: Connection reset", line))
                seen.append((r.returncode, text))
            if seen[1] != (differs or seen[0]):
                wrong.append(f"{name}: {seen[1]} instead of {differs or seen[0]}")
        assert not pair.kedge.wait_idle(LIMIT)
    assert not wrong, "\n".join(wrong)
