"""Looks at all that a program in Python has of a system, for the tests of WASI."""

import encodings.idna  # what getaddrinfo would load when it is called
import os
import random
import socket
import sys
import time
import uuid

from pawl import step


@step
def probe(ctx, input):
    return globals()[input["look_at"]](input)


def clocks(_):
    readings = [time.time(), time.time()]
    started = time.monotonic()
    time.sleep(0.05)
    return {"wall": readings, "waited": time.monotonic() - started, "after": time.time()}


def chance(_):
    return [uuid.uuid4().hex, os.urandom(4).hex(), random.random()]


def surroundings(_):
    return {"environment": dict(os.environ), "arguments": sys.argv[1:], "input": sys.stdin.read()}


def closed_doors(_):
    return {name: refused(door) for name, door in DOORS.items()}


DOORS = {
    "folder": lambda: os.listdir("/"),
    "file": lambda: open("/etc/passwd"),
    "tcp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "name": lambda: socket.getaddrinfo("example.org", 80),
}


def refused(door):
    try:
        return f"open: {door()!r}"
    except OSError as error:
        return type(error).__name__


def prints(_):
    print("to standard output")
    print("to standard error", file=sys.stderr)
    sys.stdout.write("without an end")


def ends(input):
    os._exit(input["code"])


def imports(input):
    __import__(input["module"])


def wait(input):
    time.sleep(input["seconds"])
