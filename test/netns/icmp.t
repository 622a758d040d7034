#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ICMP echo: who pings whom, and who is answered by the kernel."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403


@once
def bed():
    one = Bed()
    one.a.ns.sysctl("net.ipv4.ping_group_range", "0 2147483647")
    return one


@once
def observe():
    return Observe(near=[bed()])


def echo(action, ip, pid=None):
    """A predicate: an event of the echo to @ip."""
    def belongs(event):
        return (get(event, "network.transport") in ("icmp", "ipv6-icmp")
                and get(event, "event.action") == action and get(event, "destination.ip") == ip
                and "source" in get(event, "flow.seen_by", [])
                and (pid is None or get(event, "source.process.pid") == pid))
    return belongs


@test("by a ping socket, IPv4 and IPv6: requests and answers, to the byte, with the process")
def _():
    observe()
    for ip, source, kind in ((bed().b.ip4, bed().a.ip4, "icmp"),
                             (bed().b.ip6, bed().a.ip6, "ipv6-icmp")):
        ping = bed().a.ns.talk("ping", ip=ip, count=3, sizes="100", pause="close")
        ping.expect("paused")
        ping.go()
        same(ping.wait()[0]["n_received"], 3, "answers")
        expect(observe().wait(echo("close", ip, ping.pid), what=f"the close of the echo to {ip}"), {
            "network.transport": kind, "source.ip": source, "source.port": None,
            "destination.port": None, "source.bytes": 300, "source.packets": 3,
            "destination.bytes": 300, "destination.packets": 3, "flow.icmp.id": known,
            "source.process.executable": os.path.realpath(TALK),
            "source.netns.cookie": bed().a.ns.cookie}, "the close")
        expect(observe().wait(echo("open", ip, ping.pid)), {"source.ip": source}, "the open")


@test("by ping(8), on a raw or a ping socket; another ping's answers are not its own")
def _():
    observe()
    other = bed().a.ns.start("ping", "-q", "-i", "0.05", "-s", "10", bed().b.ip4,
                             stdout=subprocess.DEVNULL)
    process = bed().a.ns.start("ping", "-q", "-c", "4", "-i", "0.05", "-s", "56", bed().b.ip4,
                               stdout=subprocess.DEVNULL)
    same(process.wait(20), 0, "status of ping")
    expect(observe().wait(echo("close", bed().b.ip4, process.pid)), {
        "source.bytes": 224, "source.packets": 4, "destination.bytes": 224,
        "destination.packets": 4, "source.process.name": "ping"}, "the close")
    end_process(other)


@test("nobody answers: the requests count")
def _():
    observe()
    bed().b.ns.nft("table inet d { chain c { type filter hook input priority 0; "
                   "icmp type echo-request drop; }; }")
    ping = bed().a.ns.talk("ping", ip=bed().b.ip4, count=1, sizes="20", timeout_ms=300)
    ping.wait(status=1)
    expect(observe().wait(echo("close", bed().b.ip4, ping.pid)), {
        "source.bytes": 20, "source.packets": 1, "destination.bytes": lambda n: n in (0, None),
        "flow.seen_by": ["source"]}, "the close")


@test("all lines fit the schema, and nothing was lost")
def _():
    end_without_loss(observe())


main()
