#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A tun or tap device and the process behind it: tap.py tun|tap NAME.

Says "ready" once the device is there. Each line on stdin is an order, answered by a line when it is
done: "write COUNT LENGTH", packets that the device receives; "read", all that wait, how many there
were. The device goes when stdin ends.
"""
import fcntl
import os
import struct
import sys

TUNSETIFF, IFF_NO_PI = 0x400454ca, 0x1000
KINDS = {"tun": 1, "tap": 2}
ETHERTYPE = b"\x88\xb5"


def packet(kind, length):
    """A broadcast frame, or an IPv4 packet to nobody (240.0.0.1) of protocol 253."""
    if kind == "tap":
        return (b"\xff" * 6 + b"\x02\0\0\0\0\x01" + ETHERTYPE).ljust(length, b"\0")
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, 253, 0, b"\x0a\0\0\1", b"\xf0\0\0\1")
    return head.ljust(length, b"\0")


def read_all(fd):
    n = 0
    while True:
        try:
            os.read(fd, 1 << 16)
        except BlockingIOError:
            return n
        n += 1


def main():
    kind, name = sys.argv[1:]
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), KINDS[kind] | IFF_NO_PI))
    print("ready", flush=True)
    for line in sys.stdin:
        order, *numbers = line.split()
        if order == "write":
            count, length = map(int, numbers)
            for _ in range(count):
                os.write(fd, packet(kind, length))
        print(read_all(fd) if order == "read" else numbers[0], flush=True)


main()
