"""A remote-shell server held in the middle of a transfer: what attack tests look at, and take over."""
import contextlib
import os
import subprocess
import time

from harness import CLIENTS, IS_ROOT, KEDGE, LIMIT, children, kill_all, write_file


class Server:
    """`kedge --server` in mid-transfer. way: "push" (the server receives) or "pull". args: options of the client; remote: path
    on the server's side. The transfer stands still between hold() and go()."""

    def __init__(self, work, way, remote, args=(), user=None, env=None, size=40_000_000):
        self.work = work
        big = f"{work}/big-{way}"
        os.makedirs(big, exist_ok=True)
        write_file(f"{big}/big", os.urandom(1 << 20) * (size >> 20))
        if user:
            for p in (work, big, f"{big}/big"):
                os.chown(p, user, user)
        self.pid_file = f"{work}/pid-{way}"
        shell = f"{work}/shell-{way}"
        with open(shell, "w") as f:
            f.write(f'#!/bin/sh\nshift\ncd {work}\necho $$ > {self.pid_file}.new\nmv {self.pid_file}.new {self.pid_file}\nexec "$@"\n')
        os.chmod(shell, 0o755)
        full = {k: v for k, v in os.environ.items() if not k.startswith("RSYNC_")}
        full.update(env or {})
        operands = [f"{big}/", f"h:{remote}"] if way == "push" else [f"h:{remote}", f"{work}/got-{way}/"]
        # The limit is the client's own on a push, the server's on a pull.
        self.client = subprocess.Popen([CLIENTS["3.5.0"], "-a", "-e", shell, f"--rsync-path={KEDGE}", "--bwlimit=2000", *args, *operands],
                                       cwd=work, env=full, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       user=user, group=user)
        try:
            self.pid = self._wait_for_pid()
            self._wait_for_data(way)
        except BaseException:
            self.close()
            raise

    def _until(self, look, what):
        end = time.time() + LIMIT
        while time.time() < end:
            found = look()
            if found:
                return found
            if self.client.poll() is not None:
                raise RuntimeError(f"client ended before {what}: {self.client.stdout.read().decode(errors='replace')}")
            time.sleep(0.01)
        raise RuntimeError("no " + what)

    def _wait_for_pid(self):
        def look():
            with contextlib.suppress(OSError):
                with open(self.pid_file) as f:
                    return int(f.read())
        return self._until(look, "server")

    def _wait_for_data(self, way):
        """File data has passed through the server. A plain user sees that at the client's processes alone."""
        pids, what = [self.pid], {"push": "rchar", "pull": "wchar"}[way]
        if not IS_ROOT:
            pids, what = [self.client.pid, *children(self.client.pid)], {"push": "wchar", "pull": "rchar"}[way]

        def look():
            for pid in pids:
                with contextlib.suppress(OSError), open(f"/proc/{pid}/io") as f:
                    if int(dict(line.split(": ") for line in f.read().splitlines())[what]) > 600_000:
                        return True
            return False
        self._until(look, "data")

    def status(self, pid=None):
        with open(f"/proc/{pid or self.pid}/status") as f:
            return dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)

    def helpers(self):
        """{role: pid} of the server's own children."""
        roles = {}
        for pid in children(self.pid):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as f:
                roles[f.read().strip()] = pid
        return roles

    def close(self):
        kill_all(self.client)
        end = time.time() + LIMIT
        while getattr(self, "pid", None) and os.path.exists(f"/proc/{self.pid}") and time.time() < end:
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
