#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Conversations that only pass devices: hop by hop with exact figures, counted once; those of local sockets are told
by the sockets alone."""
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

L2 = 14


class Path:
    """client c0 - r0 router r1 - s0 server. To addresses of net 3 the router sends by the server, which drops them."""

    def __init__(self, named=False):
        self.client, self.router, self.server = (Namespace(named or None) for _ in range(3))
        self.cable(self.client, "c0", 1, 2, self.router, "r0", 1)
        self.cable(self.router, "r1", 2, 1, self.server, "s0", 2)
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.router.sysctl(key, "1")
        self.route(self.client, 2, 1, 1)
        self.route(self.server, 1, 2, 1)
        self.route(self.router, 3, 2, 2)
        wait_for(self._reachable, 10, "the server answers through the router")

    @staticmethod
    def ip(net, host, family=4):
        return f"10.77.{net}.{host}" if family == 4 else f"fd77:{net}::{host}"

    def cable(self, one, name, net, host, other, other_name, other_host):
        one.run("ip", "link", "add", name, "type", "veth", "peer", "name", "peer0")
        moved = other.holder.pid if other.holder else other.name
        one.run("ip", "link", "set", "peer0", "netns", str(moved), "name", other_name)
        for ns, device, number in ((one, name, host), (other, other_name, other_host)):
            ns.run("ip", "address", "add", f"{self.ip(net, number)}/24", "dev", device)
            ns.run("ip", "address", "add", f"{self.ip(net, number, 6)}/64", "dev", device, "nodad")
            ns.run("ip", "link", "set", device, "up")

    def route(self, ns, net, via_net, via):
        ns.run("ip", "route", "add", f"10.77.{net}.0/24", "via", self.ip(via_net, via))
        ns.run("ip", "-6", "route", "add", f"fd77:{net}::/64", "via", self.ip(via_net, via, 6))

    def _reachable(self):
        pings = (self.client.run("ping", "-c", "1", "-W", "1", self.ip(2, 2, family), check_status=False)
                 for family in (4, 6))
        return all(p.returncode == 0 for p in pings)

    @property
    def cookies(self):
        return {self.client.cookie, self.router.cookie, self.server.cookie}

    def hops(self):
        """Where a packet of the client's packet socket is seen."""
        return [(self.client.cookie, "tx"), (self.router.cookie, "rx"), (self.router.cookie, "tx"),
                (self.server.cookie, "rx")]


@once
def path():
    return Path(named=True)


# --- frames, sent by a packet socket: no socket of addresses owns them --------------------------------

def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip4(proto, payload, source="10.77.1.2", destination="10.77.3.9", ident=0, fragment=0):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, fragment, 64, proto, 0,
                       socket.inet_aton(source), socket.inet_aton(destination))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(proto, payload, source="fd77:1::2", destination="fd77:3::9"):
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 64) + socket.inet_pton(socket.AF_INET6, source) + \
        socket.inet_pton(socket.AF_INET6, destination) + payload


def udp(sport, dport, size=100):
    return struct.pack("!HHHH", sport, dport, 8 + size, 0) + bytes(size)


def tcp(sport, dport, flags, seq, payload=b""):
    return struct.pack("!HHIIBBHHH", sport, dport, seq, 0, 0x50, flags, 1000, 0, 0) + payload


SENDER = r"""
import socket, struct, sys
device, router = sys.argv[1], bytes.fromhex(sys.argv[2])
header = bytes.fromhex(sys.argv[3]) # struct virtio_net_hdr, or nothing
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
if header:
    s.setsockopt(263, 15, 1) # SOL_PACKET, PACKET_VNET_HDR
s.bind((device, 0))
own = s.getsockname()[4]
for line in sys.stdin:
    n, packet = line.split()
    packet = bytes.fromhex(packet)
    kind = b"\x08\0" if packet[0] >> 4 == 4 else b"\x86\xdd"
    for _ in range(int(n)):
        s.send(header + router + own + kind + packet)
"""


def mac(ns, device):
    return json.loads(ns.run("ip", "-j", "link", "show", "dev", device).stdout)[0]["address"].replace(":", "")


def send(where, *packets, header=b""):
    """(times, packet) each, out of the client's device."""
    text = "".join(f"{n} {packet.hex()}\n" for n, packet in packets)
    where.client.run(sys.executable, "-c", SENDER, "c0", mac(where.router, "r0"), header.hex(), input=text)


# --- what is told -------------------------------------------------------------------------------------

def watch_all(ways, *options):
    """All that passes those ways."""
    words = " or ".join(f"netns = {cookie}" for way in ways for cookie in sorted(way.cookies))
    watch = Observe(words, options=("--with", "devflow", *options))
    watch.cookies = None
    return watch


def is_wire(port=None, action=None):
    return lambda e: (get(e, "flow.unit") == "wire" and port in (None, get(e, "destination.port"))
                      and action in (None, get(e, "event.action")))


def steps(event):
    return [(get(hop, "netns.cookie"), hop["direction"]) for hop in event["flow"]["path"]]


def figures(event):
    return [(hop["packets"], hop["bytes"]) for hop in event["flow"]["path"]]


def close_of(watch, port, seconds=15):
    return watch.wait(is_wire(port, "close"), seconds, "its close")


@test("routed UDP: each hop with exact figures in the order of the way, counted once, closed when idle")
def _():
    watch = watch_all([path()], "--udp-idle", "1s")
    send(path(), (10, ip4(17, udp(1001, 2001))), (5, ip4(17, udp(1001, 2001, 50))))
    event, size = close_of(watch, 2001), 10 * (L2 + 128) + 5 * (L2 + 78)
    same(steps(event), path().hops(), "the way")
    same(figures(event), [(15, size)] * 4, "figures at each hop")
    expect(event, {"source.ip": "10.77.1.2", "source.port": 1001, "destination.ip": "10.77.3.9",
                   "source.packets": 15, "source.bytes": size, "destination.packets": 0, "destination.bytes": 0,
                   "flow.reason": "idle", "flow.initiator_known": True, "flow.adopted": False,
                   "network.transport": "udp", "flow.path": lambda p: {h["from"] for h in p} == {"source"}}, "the rest")
    same(len({e["flow"]["id"] for e in watch.all(is_wire(2001))}), 1, "conversations told")
    names = {get(hop, "netns.name") for hop in event["flow"]["path"]}
    same(names, {path().client.name, path().router.name, path().server.name}, "names")
    end_without_loss(watch)


@test("IPv6, also behind extension headers; ICMP echoes have their identifier")
def _():
    watch = watch_all([path()], "--udp-idle", "1s")
    options = bytes((17, 0, 1, 4, 0, 0, 0, 0))
    send(path(), (7, ip6(17, udp(1002, 2002))), (3, ip6(0, options + udp(1003, 2003))),
         (2, ip4(1, b"\x08\0" + struct.pack("!HHH", 0, 4242, 1) + bytes(20))))
    for port, n, size in ((2002, 7, L2 + 40 + 108), (2003, 3, L2 + 40 + 8 + 108)):
        event = close_of(watch, port)
        same((steps(event), figures(event)), (path().hops(), [(n, n * size)] * 4), f"way and figures of {port}")
        expect(event, {"source.ip": "fd77:1::2", "destination.ip": "fd77:3::9", "network.type": "ipv6"}, "addresses")
    event = watch.wait(lambda e: get(e, "flow.icmp.id") == 4242 and get(e, "event.action") == "close", 15, "the echo")
    same((steps(event), figures(event)), (path().hops(), [(2, 2 * (L2 + 48))] * 4), "of the echo")
    end_without_loss(watch)


@test("TCP: opened by who sent the SYN, closed by FINs of both, or by a reset")
def _():
    watch = watch_all([path()])
    back = {"source": "10.77.3.9", "destination": "10.77.1.2"}
    send(path(), (1, ip4(6, tcp(1004, 2004, 2, 100))), (1, ip4(6, tcp(2004, 1004, 0x12, 900), **back)),
         (3, ip4(6, tcp(1004, 2004, 0x10, 101, bytes(10)))), (1, ip4(6, tcp(1004, 2004, 0x11, 131))),
         (1, ip4(6, tcp(2004, 1004, 0x11, 901), **back)),
         (1, ip4(6, tcp(1005, 2005, 2, 100))), (1, ip4(6, tcp(1005, 2005, 4, 101))))
    event = close_of(watch, 2004)
    expect(event, {"flow.reason": "fin", "flow.initiator_known": True, "flow.adopted": False, "source.packets": 5,
                   "source.bytes": 5 * (L2 + 40) + 30, "destination.packets": 2}, "ended by FINs")
    expect(close_of(watch, 2005), {"flow.reason": "reset", "flow.closed_by": "source", "source.packets": 2}, "reset")
    end_without_loss(watch)


@test("GSO: packets as on the wire, each with headers of its own")
def _():
    watch = watch_all([path()], "--udp-idle", "1s")
    payload = 10 * 1000
    packet = ip4(6, tcp(1006, 2006, 0x10, 100, bytes(payload)))
    # flags 1: checksum is needed, gso type 1: TCPv4; lengths of headers, of a segment; where the checksum is
    header = struct.pack("<BBHHHH", 1, 1, L2 + 40, 1000, L2 + 20, 16)
    send(path(), (4, packet), header=header)
    event = close_of(watch, 2006)
    same((steps(event), figures(event)), (path().hops(), [(40, 4 * (payload + 10 * (L2 + 40)))] * 4), "way, figures")
    expect(event, {"flow.adopted": True, "flow.initiator_known": False, "source.packets": 40}, "without its SYN")
    end_without_loss(watch)


@test("what local sockets exchange through the router is told by them alone")
def _():
    watch = watch_all([path()])
    server = path().server.talk("tcp-server", ip=path().ip(2, 2), recv=1000, send=2000)
    client = path().client.talk("tcp-client", ip=path().ip(2, 2), port=server.port, send=1000, recv=2000)
    line = client.wait()[0]
    server.wait()
    answering = path().server.talk("udp-server", ip=path().ip(2, 2, 6), count=3)
    path().client.talk("udp-client", ip=path().ip(2, 2, 6), port=answering.port, count=3).wait()
    answering.wait()
    watch.conversation(line)
    send(path(), (1, ip4(17, udp(1007, 2007))))
    watch.wait(is_wire(2007), 15, "what is no socket's, sent behind it")
    ports = {get(e, "destination.port") for e in watch.all(is_wire())}
    check(not ports & {server.port, answering.port}, "not told twice", ports)
    end_without_loss(watch)


@test("the same addresses and ports on another way make another conversation")
def _():
    ways = path(), Path()
    watch = watch_all(ways, "--udp-idle", "1s")
    for one in ways:
        send(one, (4, ip4(17, udp(1008, 2008))))
    events = watch.wait(is_wire(2008, "close"), 15, "both", n=2)
    same(sorted(map(steps, events)), sorted(one.hops() for one in ways), "their ways")
    same([figures(e) for e in events], [[(4, 4 * (L2 + 128))] * 4] * 2, "figures")
    end_without_loss(watch)


@test("more flows than there is room for: what every record tells adds up to what was sent")
def _():
    flows, each = volume(100000), 2
    watch = watch_all([path()], "--ring-size", str(64 << 20))
    program = FLOOD % (flows, each)
    path().client.run(sys.executable, "-c", program, mac(path().router, "r0"), seconds=60)
    is_flood = lambda e: is_wire()(e) and get(e, "source.ip") == "10.77.1.2" and 30000 <= get(e, "destination.port", 0)
    last = {}

    def complete():
        for event in watch.all(is_flood):
            last[event["flow"]["id"]] = event
        watch.events.clear()
        return sum(e["source"]["packets"] for e in last.values()) >= flows * each
    wait_for(complete, 60, "all packets")
    same(len(last), flows, "conversations")
    at = {}
    for event in last.values():
        for step, (packets, size) in zip(steps(event), figures(event)):
            at[step] = tuple(map(sum, zip(at.get(step, (0, 0)), (packets, size))))
    same(at, {step: (flows * each, flows * each * (L2 + 46)) for step in path().hops()}, "sums at each hop")
    end_without_loss(watch)


FLOOD = r"""
import socket, struct, sys
flows, each = %d, %d
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("c0", 0x0800))
head = bytes.fromhex(sys.argv[1]) + s.getsockname()[4] + b"\x08\0"
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 46, 0, 0, 64, 17, 0, bytes((10, 77, 1, 2)), bytes((10, 77, 3, 9)))
total = sum(struct.unpack("!10H", ip))
total = (total & 0xffff) + (total >> 16)
ip = ip[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + ip[12:]
for _ in range(each):
    for i in range(flows):
        s.send(head + ip + struct.pack("!HHHH", 1024 + i %% 50000, 30000 + i // 50000, 26, 0) + bytes(18))
"""


main()
