#!/usr/bin/python3
"""A terminal for a program: terminal.py ROWS COLUMNS COMMAND...

Copies what the program draws to standard output, and what comes on standard input to its keyboard. SIGTERM is
passed on. Ends as the program does, with its exit code, after a line that tells whether the terminal's modes are as they were.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios

rows, columns, *command = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))
before = termios.tcgetattr(terminal)
inputs = [terminal, 0]
while terminal in inputs:
    for ready in select.select(inputs, [], [])[0]:
        try:
            data = os.read(ready, 65536)
        except OSError:  # the program's side is closed
            data = b""
        if not data:
            inputs.remove(ready)
        elif ready == terminal:
            os.write(1, data)
        else:
            os.write(terminal, data)
    if not data and ready == terminal:
        break
_, status = os.waitpid(pid, 0)
code = os.waitstatus_to_exitcode(status)
sys.stdout.buffer.write(b"\n[terminal] %d %s\n" % (code, b"restored" if termios.tcgetattr(terminal) == before else b"changed"))
sys.stdout.buffer.flush()
sys.exit(code if code >= 0 else 128 - code)
