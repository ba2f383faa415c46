# SPDX-License-Identifier: BSD-2-Clause
"""clamd - ClamAV's daemon for tests: Debian's with a signature of our own, and one that follows
a script."""

import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

from wire import WAIT, Failure, Skip

# The EICAR test file, in two halves: this file is not to be found by scanners.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
NAME = "Eicar-Test.UNOFFICIAL"

CONF = """
DatabaseDirectory {dir}/db
LocalSocket {dir}/socket
LocalSocketMode 666
TemporaryDirectory {dir}
Foreground yes
StreamMaxLength 4M
MaxThreads 4
"""


class Clamd:
    """The real one, on a socket in a folder of its own. Its only signature is EICAR's."""

    def __init__(self):
        self.program = shutil.which("clamd", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if self.program is None:
            raise Skip("no clamd here: clamav-daemon")
        self.dir = tempfile.mkdtemp(prefix="clamd-")
        os.chmod(self.dir, 0o755)
        self.socket = os.path.join(self.dir, "socket")
        os.mkdir(os.path.join(self.dir, "db"))
        with open(os.path.join(self.dir, "db", "test.ndb"), "w", encoding="ascii") as file:
            file.write(f"Eicar-Test:0:*:{EICAR.hex()}\n")
        with open(os.path.join(self.dir, "conf"), "w", encoding="ascii") as file:
            file.write(CONF.format(dir=self.dir))
            if os.getuid() == 0:
                file.write("User root\n")
        self.process = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        with open(os.path.join(self.dir, "out"), "w", encoding="ascii") as out:
            self.process = subprocess.Popen([self.program, "-c", os.path.join(self.dir, "conf")],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        until = time.monotonic() + WAIT
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                with open(os.path.join(self.dir, "out"), encoding="utf-8") as out:
                    raise Failure(f"clamd does not start: {out.read()}")
            time.sleep(0.01)  # it tells nobody when it is ready

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.settimeout(WAIT)
                probe.connect(self.socket)
                probe.sendall(b"zPING\0")
                return probe.recv(16) == b"PONG\0"
            except OSError:
                return False

    @property
    def address(self):
        return f"unix:{self.socket}"

    def kill(self):
        self.process.kill()
        self.process.wait(WAIT)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.dir)


class Talk:
    """A connection to a scripted clamd, and what came over it."""

    def __init__(self, sock, changed):
        self.sock = sock
        self.changed = changed
        self.content = bytearray()
        self.has_end = False

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                raise ConnectionError("ended")
            data += more
        return data

    def command(self):
        text = self.exactly(len(b"zINSTREAM\0"))
        if text != b"zINSTREAM\0":
            raise Failure(f"not the command of INSTREAM: {text!r}")

    def chunk(self):
        """Reads one more. False: that was the end."""
        length, = struct.unpack(">I", self.exactly(4))
        self.content += self.exactly(length)
        with self.changed:
            self.has_end = length == 0
            self.changed.notify_all()
        return length > 0

    def all(self):
        while self.chunk():
            pass
        return self.content

    def say(self, text):
        self.sock.sendall(text)


def judge(talk):
    """Answers as the real one does, by EICAR alone."""
    infected = EICAR in talk.all()
    talk.say(b"stream: Scripted-Test FOUND\0" if infected else b"stream: OK\0")


class ScriptedClamd:
    """Listens on a port; script(talk) is called for each connection once the command is read."""

    def __init__(self, script=judge):
        self.script = script
        self.talks = []
        self.errors = []
        self.changed = threading.Condition()
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            try:
                sock, _ = self.listening.accept()
            except OSError:
                return
            talk = Talk(sock, self.changed)
            threading.Thread(target=self._run, args=(talk,), daemon=True).start()

    def _run(self, talk):
        talk.sock.settimeout(WAIT)
        with self.changed:
            self.talks.append(talk)
            self.changed.notify_all()
        try:
            talk.command()
            self.script(talk)
        except (OSError, ConnectionError):
            pass  # bascule has given it up
        except Exception as error:
            self.errors.append(error)
        finally:
            talk.sock.close()
            with self.changed:
                self.changed.notify_all()

    def wait_for(self, condition, what):
        with self.changed:
            if not self.changed.wait_for(condition, WAIT):
                raise Failure(f"clamd never saw {what}")

    def forget(self):
        with self.changed:
            self.talks.clear()

    def close(self):
        self.listening.close()
        if self.errors:
            raise self.errors[0]
