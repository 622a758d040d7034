#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""UDP conversations: a socket and a peer, each datagram and byte both ways."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403


@once
def bed():
    return Bed()


@once
def observe():
    return Observe(near=[bed()])


def talk(ip, server=None, client=None, listen=None):
    """A UDP server on b and a client on a, to their ends: the 'done' lines of client and server."""
    observe()
    s = bed().b.ns.talk("udp-server", ip=listen or ip, **(server or {}))
    c = bed().a.ns.talk("udp-client", ip=ip, port=s.port, **(client or {}))
    return c.wait(), s.wait()


def check_close(line, n_bytes, n_datagrams, back_bytes, back_datagrams, **more):
    """The close of a client's conversation, both ends seen."""
    event = observe().conversation(line)
    expect(event, {
        "network.transport": "udp", "event.action": "close", "flow.unit": "payload",
        "flow.initiator_known": True, "flow.adopted": False, "flow.retransmits": None,
        "flow.connect_ns": None, "flow.srtt_ns": None,
        "source.bytes": n_bytes, "source.packets": n_datagrams,
        "destination.bytes": back_bytes, "destination.packets": back_datagrams,
        "source.received_bytes": back_bytes, "destination.received_packets": n_datagrams,
        "source.netns.cookie": bed().a.ns.cookie, "destination.netns.cookie": bed().b.ns.cookie,
        "source.process.pid": line["pid"], **more,
    }, "the close")
    return event


@test("request and answer, unconnected and connected, IPv4, IPv6 and v4-mapped")
def _():
    mapped = "::ffff:" + bed().b.ip4
    for ip, listen, source in ((bed().b.ip4, bed().b.ip4, bed().a.ip4),
                               (bed().b.ip6, bed().b.ip6, bed().a.ip6),
                               (mapped, bed().b.ip4, bed().a.ip4),
                               (bed().b.ip4, "::", bed().a.ip4)):
        for connect in (False, True):
            c, s = talk(ip, {"count": 3, "reply": 7}, {"count": 3, "sizes": "1,100,1400",
                        "reply": 7, "connect": connect}, listen)
            same((s[0]["received"], s[0]["sent"]), (1501, 21), "the server's own counts")
            event = check_close(c[0], 1501, 3, 21, 3, **{
                "source.ip": source, "destination.ip": ip.removeprefix("::ffff:"),
                "destination.process.pid": s[0]["pid"]})
            opened = observe().conversation(c[0], "open", ["source"])
            same(get(opened, "flow.id"), get(event, "flow.id"), "flow.id of open and close")


@test("one server with many peers: a conversation each")
def _():
    c, s = talk(bed().b.ip4, {"count": 20, "reply": 3}, {"count": 4, "sockets": 5, "reply": 3,
                                                         "sizes": "10,20"})
    same((len(c), len(s)), (5, 5), "sockets and peers")
    for line in c:
        check_close(line, 60, 4, 12, 4)
    ids = {get(observe().conversation(line), "flow.id") for line in c}
    same(len(ids), 5, "different flow ids")


@test("one unconnected socket with many peers: a conversation each")
def _():
    observe()
    first = 20000 + int.from_bytes(os.urandom(1), "big")
    servers = [bed().b.ns.talk("udp-server", ip=bed().b.ip4, port=first + i, count=2, reply=i)
               for i in range(3)]
    client = bed().a.ns.talk("udp-client", ip=bed().b.ip4, port=first, peers=3, count=6, reply=0,
                             sizes="5")
    lines = client.wait()
    for server in servers:
        server.wait()
    for i, line in enumerate(lines):
        check_close(line, 10, 2, 2 * i, 2, **{"destination.process.pid": servers[i].pid})


@test("at speed, three senders at once: no datagram is missed")
def _():
    observe()
    n = volume(20000)
    server = bed().b.ns.talk("udp-server", ip=bed().b.ip4, count=3 * n, timeout_ms=1000)
    clients = [bed().a.ns.talk("udp-client", ip=bed().b.ip4, port=server.port, count=n, sizes="10")
               for _ in range(3)]
    for client in clients:
        line = client.wait(seconds=60)[0]
        expect(observe().conversation(line), {"source.bytes": 10 * n, "source.packets": n},
               "what the sender sent")
    server.wait(status=None)


@test("a server that restarts: another conversation, and no datagram is in none or in both")
def _():
    observe()
    first = bed().b.ns.talk("udp-server", ip=bed().b.ip4, count=1)
    client = bed().a.ns.talk("udp-client", ip=bed().b.ip4, port=first.port, count=60, sizes="10",
                             gap_ms=20)
    first.wait()
    second = bed().b.ns.talk("udp-server", ip=bed().b.ip4, port=first.port, count=1)
    line = client.wait()[0]
    second.wait()
    sent = by_ports(line, "close")

    def closes():
        own = [e for e in observe().all(sent) if "source" in e["flow"]["seen_by"]]
        return own if sum(get(e, "source.packets") for e in own) >= 60 else None
    records = wait_for(closes, 5, "closes that count 60 datagrams")
    same(sum(get(e, "source.bytes") for e in records), 600, "bytes of all conversations")
    check(len({get(e, "flow.id") for e in records}) == len(records) > 1, "conversations", records)
    pids = {get(e, "destination.process.pid") for e in observe().all(sent)}
    check({first.pid, second.pid} <= pids, "both servers are seen", pids)


@test("empty datagrams, fragmented ones, segmented ones, corked ones, peeked and cut ones")
def _():
    c, _s = talk(bed().b.ip4, {"count": 2, "reply": 0}, {"count": 2, "reply": 0, "sizes": "0"})
    check_close(c[0], 0, 2, 0, 2)
    c, s = talk(bed().b.ip4, {"count": 3}, {"count": 3, "sizes": "60000,3000,1"})
    same(s[0]["received"], 63001, "the server's own count")
    check_close(c[0], 63001, 3, 0, 0)
    c, s = talk(bed().b.ip6, {"count": 2}, {"count": 2, "sizes": "20000,5000"})
    same(s[0]["received"], 25000, "the server's own count, IPv6")
    check_close(c[0], 25000, 2, 0, 0)
    c, s = talk(bed().b.ip4, {"count": 22}, {"count": 2, "sizes": "10500", "segment": 1000})
    same(s[0]["received"], 21000, "22 datagrams of two segmented writes")
    check_close(c[0], 21000, 22, 0, 0)
    c, s = talk(bed().b.ip4, {"count": 1}, {"count": 3, "sizes": "100,200,300", "cork": True,
                                            "connect": True})
    same(s[0]["received"], 600, "one datagram of three writes")
    check_close(c[0], 600, 1, 0, 0)
    c, s = talk(bed().b.ip4, {"count": 2, "peek": True, "buffer": 10}, {"count": 2, "sizes": "500"})
    same(s[0]["received"], 20, "the server read")
    check_close(c[0], 1000, 2, 0, 0)


@test("multicast, IPv4 and IPv6")
def _():
    observe()
    for group, any_ip in (("239.7.7.7", "0.0.0.0"), ("ff05::77", "::")):
        s = bed().b.ns.talk("udp-server", ip=any_ip, group=group, interface="v0", count=4)
        c = bed().a.ns.talk("udp-client", ip=group, interface="v0", port=s.port, count=4,
                            sizes="50").wait()[0]
        same(s.wait()[0]["received"], 200, "the member's own count")
        for side, pid in (("source", c["pid"]), ("destination", s.pid)):
            event = observe().conversation(c, seen_by=[side])
            expect(event, {"destination.ip": group, "source.bytes": 200, "source.packets": 4,
                           f"{side}.process.pid": pid}, f"the close of the {side}")


@test("on loopback, both ends in one namespace")
def _():
    observe()
    s = bed().a.ns.talk("udp-server", ip="127.0.0.1", count=3, reply=9)
    c = bed().a.ns.talk("udp-client", ip="127.0.0.1", port=s.port, count=3, reply=9, sizes="33")
    line = c.wait()[0]
    s.wait()
    check_close(line, 99, 3, 27, 3, **{"destination.netns.cookie": bed().a.ns.cookie,
                                       "source.device.name": "lo"})


@test("nobody listens: the sender's datagram counts, nothing comes back")
def _():
    observe()
    c = bed().a.ns.talk("udp-client", ip=bed().b.ip4, port=9, sizes="40").wait()[0]
    expect(observe().conversation(c, seen_by=["source"]), {
        "flow.seen_by": ["source"], "source.bytes": 40, "source.packets": 1,
        "destination.process": None}, "the close")


@test("what the receiver's queue had no room for was not received")
def _():
    observe()
    s = bed().b.ns.talk("udp-server", ip=bed().b.ip4, count=1, rcvbuf=4096, pause="close")
    n, before = 200, udp_errors(bed().b.ns)
    client = bed().a.ns.talk("udp-client", ip=bed().b.ip4, port=s.port, count=n, sizes="1000")
    c = client.wait()[0]
    s.expect("paused")
    dropped = udp_errors(bed().b.ns) - before
    s.go()
    s.wait()
    check(dropped > 0, "the queue overflowed", dropped)
    event = observe().conversation(c)
    expect(event, {"source.bytes": n * 1000, "source.packets": n,
                   "destination.received_bytes": (n - dropped) * 1000,
                   "destination.received_packets": n - dropped}, "what was sent, what arrived")


def udp_errors(namespace):
    """RcvbufErrors, from the namespace's own counters."""
    lines = [line.split()[1:] for line in namespace.run("cat", "/proc/net/snmp").stdout.splitlines()
             if line.startswith("Udp:")]
    return int(dict(zip(*lines))["RcvbufErrors"])


@test("idle: a conversation without datagrams ends after the time that the option says")
def _():
    watch = Observe(near=[bed()], options=["--udp-idle", "2s"])
    s = bed().b.ns.talk("udp-server", ip=bed().b.ip4, count=2, pause="close")
    client = bed().a.ns.talk("udp-client", ip=bed().b.ip4, port=s.port, count=2, sizes="70",
                             pause="close")
    line = client.expect("paused")
    s.expect("paused")
    event = watch.conversation(line, seconds=8)
    expect(event, {"flow.reason": "idle", "source.bytes": 140, "source.packets": 2}, "the close")
    check(client.process.poll() is None, "the socket is still open")
    client.go()
    s.go()
    client.wait()
    s.wait()
    same(len([e for e in watch.all(by_ports(line, "close")) if "source" in e["flow"]["seen_by"]]),
         1, "closes of the client's side")
    watch.stop()


@test("tshark in the same namespace counts the same datagrams and payload")
def _():
    observe()
    capture = Capture(bed().b.ns, "v0", "udp")
    c, _s = talk(bed().b.ip4, {"count": 50, "reply": 30}, {"count": 50, "sizes": "10,1000",
                                                          "reply": 30})
    rows = capture.stop("udp.srcport", "udp.length", until=lambda rows: len(rows) >= 100)
    for side, port in (("source", c[0]["local"]["port"]), ("destination", c[0]["remote"]["port"])):
        lengths = [int(length) - 8 for source, length in rows if int(source) == port]
        expect(observe().conversation(c[0]), {side + ".bytes": sum(lengths),
                                              side + ".packets": len(lengths)}, f"the {side}")


@test("all lines fit the schema, and nothing was lost")
def _():
    end_without_loss(observe())


main()
