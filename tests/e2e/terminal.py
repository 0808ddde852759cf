# SPDX-License-Identifier: Apache-2.0
"""A terminal, and a command of tare in it."""
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time


class Terminal:
    """A terminal in which a command of tare runs."""

    def __init__(self, tare, *args):
        self.fd, inner = pty.openpty()
        self.inner = inner
        self.resize(91, 37)
        self.before = termios.tcgetattr(inner)
        self.process = subprocess.Popen(tare.inside(tare.program, *args), env=tare.env,
                                        stdin=inner, stdout=inner, stderr=inner,
                                        start_new_session=True)
        self.text = ""

    def resize(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def write(self, text):
        os.write(self.fd, text.encode())

    def expect(self, text):
        end = time.monotonic() + 20
        while text not in self.text:
            assert select.select([self.fd], [], [], end - time.monotonic())[0], self.text
            self.text += os.read(self.fd, 4096).decode()
        self.text = self.text.partition(text)[2]

    def end(self):
        """The exit status; the terminal is as it was."""
        status = self.process.wait(20)
        assert termios.tcgetattr(self.inner) == self.before
        os.close(self.fd)
        os.close(self.inner)
        return status
