#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Addresses that are translated between two ends on this host: one conversation, with both."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

ASKED_PORT, SNAT_PORT = 8888, 61001


def translate(ns, hook, rule):
    ns.nft(f"table ip nat {{\n chain c {{\n type nat hook {hook};\n {rule}\n }}\n}}\n")


@test("TCP: ip and port are what was asked for, nat is what was reached; filters match both")
def _():
    bed = Bed()
    watch = Observe("port", "=", str(ASKED_PORT), near=[bed])
    server = bed.b.ns.talk("tcp-server", ip=bed.b.ip4)
    translate(bed.b.ns, "prerouting priority dstnat",
              f"tcp dport {ASKED_PORT} redirect to :{server.port}")
    translate(bed.a.ns, "postrouting priority srcnat",
              f"tcp dport {ASKED_PORT} snat to {bed.a.ip4}:{SNAT_PORT}")
    client = bed.a.ns.talk("tcp-client", ip=bed.b.ip4, port=ASKED_PORT, send=100, recv=0)
    line = client.wait()[0]
    server_line = server.wait()[0]
    event = watch.wait(by_ports(line, "close"), what="the close")
    expect(event, {
        "flow.seen_by": ["source", "destination"], "source.bytes": 100,
        "source.ip": bed.a.ip4, "source.port": ports_of(line)[0],
        "source.nat.ip": bed.a.ip4, "source.nat.port": SNAT_PORT,
        "destination.ip": bed.b.ip4, "destination.port": ASKED_PORT,
        "destination.nat.ip": bed.b.ip4, "destination.nat.port": server.port,
        "source.process.pid": line["pid"], "destination.process.pid": server_line["pid"],
    }, "one conversation")
    watch.stop()
    watch.check_lines()


main()
