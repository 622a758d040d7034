#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""TCP conversations: how they open and end, by whom, and what each side sent, to the byte."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403


@once
def bed():
    return Bed()


@once
def alone():
    return Namespace()


@once
def observe():
    return Observe(near=[bed(), alone()])


def sides(c, s):
    """What the record of a close must hold of both ends, by their own counts."""
    return {
        "source.ip": c["local"]["ip"].removeprefix("::ffff:"),
        "destination.ip": c["remote"]["ip"].removeprefix("::ffff:"),
        "source.bytes": c["sent"], "destination.bytes": s["sent"],
        "source.process.pid": c["pid"], "destination.process.pid": s["pid"],
        "network.transport": "tcp", "event.kind": "event",
    }


def ended(reason, closed_by, **more):
    return {"flow.reason": reason, "flow.closed_by": closed_by, "event.action": "close",
            "flow.accepted": True, "flow.initiator_known": True, "flow.adopted": False, **more}


def check_close(c, s, reason, closed_by, **more):
    event = observe().conversation(c)
    expect(event, {**sides(c, s), **ended(reason, closed_by, **more)}, "the close")
    return event


NOTHING_LEFT = {"source.unsent_bytes": None, "source.unread_bytes": None,
                "destination.unsent_bytes": None, "destination.unread_bytes": None}


@test("FIN by the client: open and close, exact bytes, times, RTT, both processes")
def _():
    observe()
    c, s = bed().tcp(client={"send": 100000, "recv": 500}, server={"send": 500})
    event = check_close(c, s, "fin", "source", **NOTHING_LEFT)
    expect(event, {
        "source.bytes": 100000, "destination.bytes": 500,
        "source.packets": between(70, 300), "destination.packets": between(2, 300),
        "flow.connect_ns": between(1, c["connected_ns"] - c["start_ns"]),
        "event.duration": between(1, s["end_ns"] - c["start_ns"] + 10**9),
        "flow.srtt_ns": between(1000, 10**9), "flow.min_rtt_ns": between(0, 10**9),
        "flow.retransmits": 0, "event.outcome": "success", "network.type": "ipv4",
        "source.netns.cookie": bed().a.ns.cookie, "source.netns.inode": bed().a.ns.inode,
        "destination.netns.cookie": bed().b.ns.cookie, "source.netns.name": None,
        "destination.netns.inode": bed().b.ns.inode, "source.device.name": "v0",
        "flow.unit": "payload", "network.community_id": known, "host.name": known,
        "event.category": ["network"], "event.type": ["connection", "end"],
    }, "the close")
    begin, end = time_ns(get(event, "event.start")), time_ns(get(event, "event.end"))
    same(end - begin, get(event, "event.duration"), "end less start")
    same(time_ns(event["@timestamp"]), end, "the close's time")
    # Two clocks that run apart by adjustments, within one second of a test.
    check(abs(begin - c["start_ns"]) < 20 * 10**6, "start, ns from the client's connect()",
          begin - c["start_ns"])
    opened = observe().conversation(c, "open")
    expect(opened, {
        "flow.id": get(event, "flow.id"), "event.type": ["connection", "start"],
        "source.process.pid": c["pid"], "destination.process.pid": s["pid"],
        "flow.reason": None, "flow.closed_by": None, "event.end": None, "event.duration": None,
        "flow.connect_ns": get(event, "flow.connect_ns"),
    }, "the open")
    actions = [get(e, "event.action") for e in observe().all(by_ports(c))]
    check(actions[0] == "open" and actions[-1] == "close", "open first, close last", actions)


@test("FIN by the server")
def _():
    observe()
    c, s = bed().tcp(client={"send": 700}, server={"send": 90000, "recv": 700})
    check_close(c, s, "fin", "destination", **NOTHING_LEFT)


@test("half close: the answer comes after the client's FIN, and counts")
def _():
    observe()
    c, s = bed().tcp(client={"send": 1000, "close": "half"},
                     server={"send": 200000, "answer": True})
    same(c["received"], 200000, "the client received")
    check_close(c, s, "fin", "source", **NOTHING_LEFT)


@test("a process that ends without close(), by exit and by SIGKILL")
def _():
    observe()
    for how in ("exit", "kill"):
        s = bed().b.ns.talk("tcp-server", ip=bed().b.ip4, send=500)
        client = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=s.port, send=5000, recv=500,
                                 close=how)
        c = client.wait(status=None)[0]
        check_close(c, s.wait()[0], "fin", "source", **NOTHING_LEFT)


@test("reset by the client, and by the server (SO_LINGER 0)")
def _():
    observe()
    c, s = bed().tcp(client={"send": 1000, "recv": 2000, "close": "rst"}, server={"send": 2000})
    same(s.get("error"), "ECONNRESET", "the server's error")
    check_close(c, s, "reset", "source", **NOTHING_LEFT)
    c, s = bed().tcp(client={"send": 3000}, server={"send": 10, "recv": 3000, "close": "rst"})
    same(c.get("error"), "ECONNRESET", "the client's error")
    check_close(c, s, "reset", "destination", **NOTHING_LEFT)


@test("a client that leaves data unread resets; the unread bytes stand apart")
def _():
    observe()
    server = bed().b.ns.talk("tcp-server", ip=bed().b.ip4, send=20000, recv=0, pause="close")
    client = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=server.port, recv=100,
                             pause="connected,close")
    client.expect("paused")
    server.expect("paused")
    client.go()
    client.expect("paused", 2)
    client.go()
    c = client.wait()[0]
    server.go()
    s = server.wait()[0]
    same(c["unread"], 19900, "the socket's own count of unread bytes")
    check_close(c, s, "reset", "source", **{**NOTHING_LEFT, "source.unread_bytes": 19900})


@test("reset with a full send queue: transmitted and unsent bytes add up to what was written")
def _():
    observe()
    server = bed().b.ns.talk("tcp-server", ip=bed().b.ip4, recv=0, rcvbuf=8192, pause="close")
    client = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=server.port, recv=0, close="rst",
                             send=10**7, sndbuf=500000, stall_ms=300)
    c = client.wait()[0]
    server.go()
    s = server.wait()[0]
    check(c["unsent"] > 10000, "bytes stayed in the send queue", c["unsent"])
    event = observe().conversation(c)
    expect(event, {
        "source.bytes": c["sent"] - c["unsent"], "source.unsent_bytes": c["unsent"],
        # The server holds its socket still, and could read what came.
        "destination.unread_bytes": None, **ended("reset", "source"),
    }, "the close")
    same(get(event, "source.bytes"), s["unread"], "bytes that wait at the server")


@test("close() before all is sent: the kernel sends the rest, and it counts")
def _():
    observe()
    server = bed().b.ns.talk("tcp-server", ip=bed().b.ip4, pause="connected", rcvbuf=20000)
    client = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=server.port, send=1000000, recv=0,
                             sndbuf=2000000)
    c = client.wait()[0]
    check(c["unsent"] > 100000, "not all was sent when it closed", c["unsent"])
    server.go()
    s = server.wait()[0]
    same(s["received"], 1000000, "the server received")
    check_close(c, s, "fin", "source", **NOTHING_LEFT)


@test("refused: fail, with the client's side alone")
def _():
    observe()
    for ip in (bed().b.ip4, bed().b.ip6):
        client = bed().a.ns.talk("tcp-client", ip=ip, port=9)
        c = client.wait()[0]
        same(c["error"], "ECONNREFUSED", "connect()")
        expect(observe().conversation(c, "fail", ["source"]), {
            "event.action": "fail", "event.outcome": "failure", "flow.reason": "refused",
            "flow.seen_by": ["source"], "source.process.pid": c["pid"],
            "flow.connect_ns": None, "destination.process": None, "event.duration": known,
        }, "the fail")


@test("unreachable: a host that the network says isn't there")
def _():
    observe()
    bed().b.ns.nft("table inet u { chain c { type filter hook input priority 0; "
                   "tcp dport 81 reject with icmpx type host-unreachable; }; }")
    for ip in (bed().b.ip4, bed().b.ip6):
        c = bed().a.ns.talk("tcp-client", ip=ip, port=81).wait()[0]
        same(c["error"], "EHOSTUNREACH", "connect()")
        expect(observe().conversation(c, "fail", ["source"]), {
            "event.outcome": "failure", "flow.reason": "unreachable",
            "source.process.pid": c["pid"]}, "the fail")


@test("unreachable: a firewall that prohibits, which the two families' sockets are told differently")
def _():
    observe()
    bed().b.ns.nft("table inet p { chain c { type filter hook input priority 0; "
                   "tcp dport 83 reject with icmpx type admin-prohibited; }; }")
    for ip, error in ((bed().b.ip4, "EHOSTUNREACH"), (bed().b.ip6, "EACCES")):
        c = bed().a.ns.talk("tcp-client", ip=ip, port=83).wait()[0]
        same(c["error"], error, "connect()")
        expect(observe().conversation(c, "fail", ["source"]), {
            "event.outcome": "failure", "flow.reason": "unreachable",
            "flow.closed_by": "kernel"}, "the fail")


@test("timeout of connect(): every SYN is dropped")
def _():
    observe()
    bed().b.ns.nft("table inet t { chain c { type filter hook input priority 0; "
                   "tcp dport 82 drop; }; }")
    c = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=82, syn_retries=1).wait(seconds=20)[0]
    same(c["error"], "ETIMEDOUT", "connect()")
    expect(observe().conversation(c, "fail", ["source"]), {
        "event.outcome": "failure", "flow.reason": "timeout", "flow.retransmits": between(1, 2),
        "event.duration": between(10**9, 20 * 10**9)}, "the fail")


@test("timeout of an established connection: closed by the kernel, unanswered bytes count once")
def _():
    observe()
    server = bed().b.ns.talk("tcp-server", ip=bed().b.ip4, recv=10, pause="close")
    client = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=server.port, send=5010, chunk=10,
                             gap_ms=0, pause="connected", user_timeout_ms=700)
    client.expect("paused")
    bed().b.ns.nft(f"table inet e {{ chain c {{ type filter hook input priority 0; "
                   f"tcp dport {server.port} drop; }}; }}")
    client.go()
    c = client.wait()[0]
    same(c["error"], "ETIMEDOUT", "the client's error")
    expect(observe().conversation(c, "close", ["source"]), {
        "flow.reason": "timeout", "flow.closed_by": "kernel", "source.bytes": 5010,
        "flow.retransmits": between(1, 50)}, "the client's close")
    bed().b.ns.nft("delete table inet e")
    end_process(server.process)


@test("never accepted: the destination says so")
def _():
    observe()
    server = bed().b.ns.talk("tcp-server", ip=bed().b.ip4, no_accept=True)
    c = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=server.port, send=1000,
                        recv=0).wait()[0]
    server.go()
    server.wait()
    event = observe().conversation(c)
    expect(event, {"flow.accepted": False, "source.bytes": 1000, "destination.bytes": 0,
                   "destination.unread_bytes": 1000, "source.process.pid": c["pid"],
                   "destination.process.pid": server.pid}, "the close")


@test("the client ends long before the server: two closes of one flow, each tells what it knows")
def _():
    observe()
    server = bed().b.ns.talk("tcp-server", ip=bed().b.ip4, send=40, pause="close")
    c = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=server.port, send=100,
                        recv=40).wait()[0]
    first = observe().conversation(c, seen_by=["source"])
    expect(first, {"flow.seen_by": ["source"], "flow.reason": "fin", "flow.closed_by": "source",
                   "source.bytes": 100, "destination.bytes": 40,
                   "flow.accepted": lambda accepted: accepted is not False}, "the source's close")
    server.go()
    server.wait()
    both = observe().conversation(c)
    expect(both, {"flow.accepted": True, "flow.closed_by": "source", "source.bytes": 100,
                  "destination.bytes": 40, "destination.process.pid": server.pid}, "both closes")
    same(len(observe().all(by_ports(c, "close"))), 2, "closes")


@test("IPv6, and IPv4 through an IPv6 socket at either end, told as what is on the wire")
def _():
    observe()
    mapped = "::ffff:" + bed().b.ip4
    for ip, listen, kind in ((bed().b.ip6, bed().b.ip6, "ipv6"), (mapped, bed().b.ip4, "ipv4"),
                             (bed().b.ip4, "::", "ipv4"), (mapped, "::", "ipv4"),
                             (bed().b.ip6, "::", "ipv6")):
        c, s = bed().tcp(ip, {"send": 4000}, {"send": 60000, "recv": 4000}, listen=listen)
        event = check_close(c, s, "fin", "source", **NOTHING_LEFT)
        same(get(event, "network.type"), kind, f"network.type of {ip} to {listen}")


@test("on the loopback of a namespace, IPv4 and IPv6")
def _():
    observe()
    for ip in ("127.0.0.1", "::1"):
        s = alone().talk("tcp-server", ip=ip, send=1234)
        client = alone().talk("tcp-client", ip=ip, port=s.port, send=777, recv=1234)
        event = check_close(client.wait()[0], s.wait()[0], "fin", "source", **NOTHING_LEFT)
        expect(event, {"source.netns.cookie": alone().cookie, "source.device.name": "lo",
                       "destination.netns.cookie": alone().cookie}, "both ends")


@test("under loss: retransmits are counted, bytes stay exact")
def _():
    lossy = Bed()
    for host in (lossy.a, lossy.b):
        host.ns.nft("table inet l { chain c { type filter hook prerouting priority 0; "
                    "meta l4proto tcp numgen random mod 100 < 3 drop; }; }")
    watch = Observe(near=[lossy])
    n = volume(1500000)
    c, s = lossy.tcp(client={"send": n, "recv": n // 3, "timeout_ms": 30000},
                     server={"send": n // 3, "timeout_ms": 30000})
    event = watch.conversation(c, seconds=20)
    expect(event, {"source.bytes": n, "destination.bytes": n // 3, "flow.reason": "fin",
                   "flow.retransmits": between(1, n), **NOTHING_LEFT}, "the close")
    watch.stop()


@test("in named namespaces, joined by a bridge, with the names")
def _():
    named = Bed(named=True, bridged=True)
    watch = Observe(near=[named])
    c, s = named.tcp(client={"send": 11, "recv": 22}, server={"send": 22})
    expect(watch.conversation(c), {
        "source.netns.name": named.a.ns.name, "destination.netns.name": named.b.ns.name,
        "source.bytes": 11, "destination.bytes": 22}, "the close")
    watch.stop()


@test("an older connection is adopted, and its close still has exact bytes")
def _():
    fresh = Bed()
    server = fresh.b.ns.talk("tcp-server", ip=fresh.b.ip4, send=300, pause="connected")
    client = fresh.a.ns.talk("tcp-client", ip=fresh.b.ip4, port=server.port, send=400, recv=300,
                             pause="close")
    watch = Observe(near=[fresh])
    server.go()
    client.expect("paused")
    client.go()
    c, s = client.wait()[0], server.wait()[0]
    expect(watch.conversation(c), {
        "flow.adopted": True, "source.bytes": 400, "destination.bytes": 300,
        "source.process.pid": c["pid"], "destination.process.pid": s["pid"],
        "flow.reason": "fin", "flow.closed_by": "source"}, "the close")
    watch.stop()


@test("hundreds of short connections: each one has a close with its own bytes")
def _():
    many = Bed()
    watch = Observe(near=[many])
    n = volume(300)
    server = many.b.ns.talk("tcp-server", ip=many.b.ip4, send=2, count=n)
    client = many.a.ns.talk("tcp-client", ip=many.b.ip4, port=server.port, send=1, recv=2, count=n)
    lines = client.wait(seconds=60)
    server.wait()
    same(len(lines), n, "connections made")
    wrong = 0
    for c in lines:
        event = watch.conversation(c)
        wrong += bool(differences(event, {"source.bytes": 1, "destination.bytes": 2,
                                          "flow.reason": "fin"}))
    same(wrong, 0, "wrong closes")
    ids = {get(e, "flow.id") for e in watch.all(lambda e: get(e, "event.action") == "close")}
    same(len(ids), n, "different flow ids")
    totals = end_without_loss(watch)
    check(get(totals, "totals.conversations") >= n, "conversations in the totals", totals)


def payload(rows, port):
    """Sequence numbers of the payload bytes from @port, each once, however often it was sent."""
    return {n for source, seq, length in rows if int(source) == port
            for n in range(int(seq), int(seq) + int(length))}


@test("tshark in the same namespace counts the same payload, and no fewer segments")
def _():
    fresh = Bed()
    watch = Observe(near=[fresh])
    capture = Capture(fresh.b.ns, "v0", "tcp")
    c, s = fresh.tcp(client={"send": 50000, "recv": 7000}, server={"send": 7000})
    event = watch.conversation(c)
    ports = (("source", c["local"]["port"]), ("destination", c["remote"]["port"]))
    rows = capture.stop("tcp.srcport", "tcp.seq", "tcp.len", until=lambda rows: sum(
        len(payload(rows, port)) for _, port in ports) >= 57000)
    for side, port in ports:
        same(len(payload(rows, port)), get(event, side + ".bytes"), f"tshark's bytes of the {side}")
        # After CLOSE (TIME_WAIT) and before the socket is born (SYN-ACK) the kernel doesn't count.
        n = sum(int(source) == port for source, _seq, _length in rows)
        check(0 <= n - get(event, side + ".packets") <= 2, f"tshark's segments of the {side}",
              (n, get(event, side + ".packets")))
    watch.stop()


@test("all lines fit the schema, and nothing was lost")
def _():
    totals = end_without_loss(observe())
    covered, total = (get(totals, "totals.namespaces." + k) for k in ("covered", "total"))
    check(total and 3 <= covered <= total, "namespaces covered", (covered, total))


main()
