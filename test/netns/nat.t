#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Addresses that are translated between two ends on this host: one conversation, with both."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

ASKED_PORT, SNAT_PORT = 8888, 61001


def translate(ns, hook, rule, family="ip"):
    ns.nft(f"table {family} nat {{\n chain c {{\n type nat hook {hook};\n {rule}\n }}\n}}\n")


def families(bed):
    """nft's word for the family, the client's address, the server's, one of nobody, and brackets."""
    return (("ip", bed.a.ip4, bed.b.ip4, "192.0.2.1", "{}"),
            ("ip6", bed.a.ip6, bed.b.ip6, "2001:db8::1", "[{}]"))


def reach(bed):
    """What nobody has is to be looked for at b."""
    bed.a.ns.run("ip", "route", "add", "192.0.2.0/24", "via", bed.b.ip4)
    bed.a.ns.run("ip", "route", "add", "2001:db8::/64", "via", bed.b.ip6)


def one_conversation(watch, line, server_line, expected):
    """One open and one close, of both ends."""
    for action in ("open", "close"):
        event = watch.wait(by_ports(line, action), what=f"the {action}")
        expect(event, {
            "flow.seen_by": ["source", "destination"],
            "source.process.pid": line["pid"], "destination.process.pid": server_line["pid"],
            **expected}, action)
    mine = {line["pid"], server_line["pid"]}
    events = watch.all(lambda e: get(e, "event.action") in ("open", "close") and
                       mine & {get(e, "source.process.pid"), get(e, "destination.process.pid")})
    same(len(events), 2, "events of this conversation")


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


@once
def observe():
    return Observe("port", "=", str(ASKED_PORT))


def udp_translated(family, before_it_leaves, snat):
    """A conversation through what the rules make of it, in namespaces of its own."""
    bed = Bed()
    reach(bed)
    _, own, far, nobody, brackets = families(bed)[family == "ip6"]
    server = bed.b.ns.talk("udp-server", ip=far, reply=20)
    translate(bed.a.ns if before_it_leaves else bed.b.ns,
              "output priority -100" if before_it_leaves else "prerouting priority dstnat",
              f"{family} daddr {nobody} udp dport {ASKED_PORT} dnat to {brackets.format(far)}:{server.port}",
              family)
    if snat:
        bed.a.ns.nft(f"table {family} more {{\n chain c {{\n type nat hook postrouting priority srcnat;\n"
                     f" udp dport {{ {ASKED_PORT}, {server.port} }} snat to "
                     f"{brackets.format(own)}:{SNAT_PORT}\n }}\n}}\n")
    watch = observe()
    client = bed.a.ns.talk("udp-client", ip=nobody, port=ASKED_PORT, sizes=100, reply=0)
    line, server_line = client.wait()[0], server.wait()[0]
    one_conversation(watch, line, server_line, {
        "source.ip": own, "source.port": ports_of(line)[0],
        "source.nat.port": SNAT_PORT if snat else None,
        "source.bytes": 100, "destination.bytes": 20,
        "destination.ip": nobody, "destination.port": ASKED_PORT,
        "destination.nat.ip": far, "destination.nat.port": server.port})
    watch.check_lines()


for _family in ("ip", "ip6"):
    for _before, _where in ((False, "at the server"), (True, "before it leaves")):
        for _snat in (False, True):
            test(f"UDP ({_family}) translated {_where}{', the source too' if _snat else ''}: one conversation")(
                lambda f=_family, b=_before, s=_snat: udp_translated(f, b, s))


@test("UDP to a peer that is elsewhere: what was reached, from where it came")
def _():
    bed = Bed()
    reach(bed)
    watch = Observe(near=[bed])
    for family, own, far, nobody, brackets in families(bed):
        translate(bed.a.ns, "output priority -100",
                  f"udp dport {ASKED_PORT} dnat to {brackets.format(far)}:9", family)
        bed.b.ns.nft(f"table {family} deaf {{\n chain c {{\n type filter hook input priority 0;\n"
                     " udp dport 9 drop\n }\n}\n")
        line = bed.a.ns.talk("udp-client", ip=nobody, port=ASKED_PORT, sizes=100).wait()[0]
        expect(watch.wait(by_ports(line, "close"), what="the close"), {
            "flow.seen_by": ["source"], "source.ip": own, "source.nat": None,
            "destination.ip": nobody, "destination.nat.ip": far, "destination.nat.port": 9,
        }, family)
    watch.stop()


@test("translated by a router that nslens runs in: UDP is one conversation")
def _():
    bed, far = Bed(), Namespace()
    router, net = bed.b.ns, random.randrange(1, 255)
    Bed._cable(router, "v1", far, "v0", 1500)
    router.sysctl("net.ipv4.ip_forward", 1)
    router.run("ip", "address", "add", f"198.18.{net}.1/24", "dev", "v1")
    far.run("ip", "address", "add", f"198.18.{net}.2/24", "dev", "v0")
    bed.a.ns.run("ip", "route", "add", "default", "via", bed.b.ip4)
    server = far.talk("udp-server", ip=f"198.18.{net}.2", reply=20)
    translate(router, "prerouting priority dstnat",
              f"ip daddr 192.0.2.1 udp dport {ASKED_PORT} dnat to 198.18.{net}.2:{server.port}")
    router.nft("table ip more {\n chain c {\n type nat hook postrouting priority srcnat;\n"
               " oifname v1 masquerade\n }\n}\n")
    watch = Observe(near=[bed], wrap=router.enter())
    line = bed.a.ns.talk("udp-client", ip="192.0.2.1", port=ASKED_PORT, sizes=100, reply=0).wait()[0]
    one_conversation(watch, line, server.wait()[0], {
        "source.ip": bed.a.ip4, "source.nat.ip": f"198.18.{net}.1",
        "destination.ip": "192.0.2.1", "destination.port": ASKED_PORT,
        "destination.nat.ip": f"198.18.{net}.2", "destination.nat.port": server.port})
    watch.stop()


main()
