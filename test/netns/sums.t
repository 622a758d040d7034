#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Packets and bytes add up over the layers, exactly, by the rule of doc/layers.md: socket, L3, device;
with the kernel's counters and tshark as other witnesses."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

ETHERNET = 14
IP4, UDP = 20, 8


class Layers:
    """An agent with all layers; the differences of its figures since the last mark(), of a namespace."""

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(dir=state_folder())
        process = start([NSLENS, "run", "--state-dir", self.folder, "--with", "l3,device", *options],
                        stdout=subprocess.PIPE)
        check(b"watching" in process.stdout.readline(), "the agent is ready")
        self.before = {}

    def _all(self):
        line = json.loads(nslens("status", "-o", "json", "--state-dir", self.folder).stdout)
        same(schema_errors(line), [], "what the schema says of status")
        sums = {}
        for row in line["layers"]["places"]:
            key = get(row, "netns.cookie"), row["layer"], row["class"], row["direction"]
            at = sums.setdefault(key, {})
            for name, value in row.items():
                if isinstance(value, int):
                    at[name] = at.get(name, 0) + value
        return sums

    def mark(self):
        self.before = self._all()

    def since(self, namespace, layer, kind, direction):
        """{figure: how much more}, 0 for those that are not there."""
        key = namespace.cookie, layer, kind, direction
        now, then = self._all().get(key, {}), self.before.get(key, {})
        return {name: now.get(name, 0) - then.get(name, 0) for name in
                ("packets", "bytes", "skbs", "skb_bytes", "payload_bytes", "empty_packets",
                 "retransmitted_bytes")}


@once
def layers():
    return Layers()


@once
def bed():
    return Bed()


@once
def gso_bed():
    """Where an skb may be many segments."""
    one = Bed()
    for host in (one.a, one.b):
        host.ns.run("ip", "link", "set", "v0", "gso_max_segs", "65535")
    return one


def closed(namespace, payload):
    """The socket's figures once they are those of the closed sockets."""
    layer = layers()
    wait_for(lambda: layer.since(namespace, "socket", "tcp", "sent")["payload_bytes"] >= payload, 10,
             "the socket's payload")
    return layer.since(namespace, "socket", "tcp", "sent")


SYN_ACK6 = 80   # bytes, with its options
# Linux 6.1 does not show it to cgroup_skb.
SYN_ACK6_HIDDEN = os.uname().release.startswith("6.1.")


def add_up(where, kind, hidden=0):
    """L3 and device of both hosts, wire form and skbs; and both ends of the cable. @hidden: SYN-ACKs of b
    that L3 was not shown."""
    layer = layers()
    for host in (where.a, where.b):
        for direction in ("sent", "received"):
            l3 = layer.since(host.ns, "l3", kind, direction)
            l2 = layer.since(host.ns, "device", kind, direction)
            if hidden and host is where.b and direction == "sent":
                l3 = {name: n + hidden * (SYN_ACK6 if "bytes" in name else 1) for name, n in l3.items()}
            same(l2["packets"], l3["packets"], f"{kind} {direction}: packets of device and L3")
            same(l2["bytes"], l3["bytes"] + ETHERNET * l3["packets"], f"{kind} {direction}: bytes")
            same(l2["skb_bytes"], l3["skb_bytes"] + ETHERNET * l3["skbs"], f"{kind} {direction}: skbs")
    for one, other in ((where.a, where.b), (where.b, where.a)):
        sent, got = (layer.since(h.ns, "device", kind, d)
                     for h, d in ((one, "sent"), (other, "received")))
        same(got["bytes"], sent["bytes"], f"{kind}: what one end of the cable sends the other receives")


def headers_of(l3):
    return l3["bytes"] - l3["payload_bytes"]


# Both say their end while they still listen: what comes to a socket in TIME_WAIT, and its answer, is at
# the device alone.
SERVER = """import socket, sys
s = socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print(s.getsockname()[1], flush=True)
c = s.accept()[0]
while c.recv(1 << 16):
    pass
c.sendall(bytes(int(sys.argv[2])))
c.shutdown(socket.SHUT_WR)
sys.stdin.read()
"""
CLIENT = """import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])))
c.sendall(bytes(int(sys.argv[3])))
c.shutdown(socket.SHUT_WR)
n = 0
while data := c.recv(1 << 16):
    n += len(data)
print(n)
"""


def tcp(where, ip, size, back):
    """One connection from a to b with @size bytes and @back bytes back."""
    server = where.b.ns.start(sys.executable, "-c", SERVER, ip, str(back), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    port = server.stdout.readline().decode().strip()
    same(where.a.ns.run(sys.executable, "-c", CLIENT, ip, port, str(size)).stdout, f"{back}\n", "received")
    server.stdin.close()
    same(server.wait(20), 0, "status of the server")


def tcp_adds_up(where, ip, size, ip_header):
    hidden = int(SYN_ACK6_HIDDEN and ip_header == 40)
    layers().mark()
    tcp(where, ip, size, size)
    for host in (where.a, where.b):
        socket_ = closed(host.ns, size)
        l3 = layers().since(host.ns, "l3", "tcp", "sent")
        same(socket_["payload_bytes"], size, "payload at the socket")
        same(l3["payload_bytes"], size + socket_["retransmitted_bytes"], "payload at L3")
        check(headers_of(l3) >= l3["packets"] * (ip_header + 20), "headers at L3", l3)
        # The passive side's SYN-ACK is not among its socket's segments.
        same(l3["packets"], socket_["packets"] + (host is where.b and not hidden), "packets and segments")
        check(l3["empty_packets"] >= 2, "packets without payload", l3)
    add_up(where, "tcp", hidden)


@test("TCP, IPv4 and IPv6: payload, headers and acknowledgements")
def _():
    tcp_adds_up(bed(), bed().b.ip4, 100000, 20)
    tcp_adds_up(bed(), bed().b.ip6, 100000, 40)


@test("TCP by large skbs: the packets are those on the wire, the bytes have all their headers")
def _():
    tcp_adds_up(gso_bed(), gso_bed().b.ip4, 1000000, 20)
    l3 = layers().since(gso_bed().a.ns, "l3", "tcp", "sent")
    check(l3["skbs"] < l3["packets"], "skbs are fewer than packets", l3)
    tcp_adds_up(gso_bed(), gso_bed().b.ip6, 1000000, 40)


@test("TCP with loss: the difference of L3 and socket is what was sent again; of the two L3s, what was dropped")
def _():
    where, size = bed(), 300000
    where.b.ns.nft("table inet d { counter c {}; chain i { type filter hook input priority 0; "
                   "tcp flags & syn == 0 ip length > 1000 numgen inc mod 9 == 0 counter name c drop; }; }")
    layers().mark()
    tcp(where, where.b.ip4, size, 1)
    socket_ = closed(where.a.ns, size)
    dropped = json.loads(where.b.ns.run("nft", "-j", "list", "counters").stdout)
    dropped = next(o["counter"] for o in dropped["nftables"] if "counter" in o)
    where.b.ns.run("nft", "delete", "table", "inet", "d")
    sent = layers().since(where.a.ns, "l3", "tcp", "sent")
    got = layers().since(where.b.ns, "l3", "tcp", "received")
    check(dropped["packets"] > 0 and socket_["retransmitted_bytes"] > 0, "loss", (dropped, socket_))
    same(sent["payload_bytes"], size + socket_["retransmitted_bytes"], "payload at L3")
    same((sent["packets"], sent["bytes"]),
         (got["packets"] + dropped["packets"], got["bytes"] + dropped["bytes"]), "sent, got + dropped")
    for host, kind, l3 in ((where.a, "sent", sent), (where.b, "received", got)):
        l2 = layers().since(host.ns, "device", "tcp", kind)
        lost = dropped if kind == "received" else {"packets": 0, "bytes": 0}
        same((l2["packets"], l2["bytes"]),
             (l3["packets"] + lost["packets"],
              l3["bytes"] + lost["bytes"] + ETHERNET * (l3["packets"] + lost["packets"])), kind)


@test("UDP: each datagram has its headers")
def _():
    where, n, size = bed(), 50, 700
    server = where.b.ns.talk("udp-server", ip=where.b.ip4, count=n, reply=3)
    layers().mark()
    where.a.ns.talk("udp-client", ip=where.b.ip4, port=server.port, count=n, sizes=str(size),
                    reply=3).wait()
    server.wait()
    for host, direction, length in ((where.a, "sent", size), (where.b, "received", size),
                                    (where.b, "sent", 3), (where.a, "received", 3)):
        l3 = layers().since(host.ns, "l3", "udp", direction)
        same((l3["packets"], l3["payload_bytes"], l3["bytes"]),
             (n, n * length, n * (length + UDP + IP4)), f"{direction}, {length} B")
    add_up(where, "udp")


SEGMENTED = """import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(17, 103, 1000)  # UDP_SEGMENT
print(s.sendto(bytes(10500), (sys.argv[1], 9)))
"""


@test("UDP by segmentation: one skb, its packets, and their headers")
def _():
    where = gso_bed()
    layers().mark()
    same(where.a.ns.run(sys.executable, "-c", SEGMENTED, where.b.ip4).stdout, "10500\n", "sent")
    l3 = layers().since(where.a.ns, "l3", "udp", "sent")
    same((l3["skbs"], l3["packets"], l3["payload_bytes"], l3["bytes"]),
         (1, 11, 10500, 10500 + 11 * (UDP + IP4)), "at L3")
    l2 = layers().since(where.a.ns, "device", "udp", "sent")
    same((l2["packets"], l2["bytes"]), (11, l3["bytes"] + 11 * ETHERNET), "at the device")


@test("ICMP of all types, and raw sockets: errors and other protocols are counted at L3")
def _():
    where = bed()
    layers().mark()
    where.a.ns.run("ping", "-c", "3", "-i", "0.05", "-s", "56", where.b.ip4)
    where.a.ns.talk("udp-client", ip=where.b.ip4, port=9).wait(status=None)
    raw = "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)\n" \
          "s.sendto(bytes(100), (sys.argv[1], 0))\n"
    same(layers().since(where.a.ns, "l3", "icmp", "sent")["bytes"], 3 * 84, "echo requests")
    out = layers().since(where.b.ns, "l3", "icmp", "sent")
    check(out["packets"] >= 4 and out["bytes"] > 3 * 84, "three answers, and port unreachable", out)

    def raw_is_exact():
        """Now and then the kernel sends a multicast report by the same class."""
        layers().mark()
        where.a.ns.run(sys.executable, "-c", raw, where.b.ip4)
        return (layers().since(where.a.ns, "l3", "other_ip", "sent")["bytes"] == 120 and
                layers().since(where.b.ns, "device", "other_ip", "received")["bytes"] == 134)
    wait_for(raw_is_exact, 20, "the raw socket's packet, at L3 and at the device")


def device_counters(namespace):
    with_stats = json.loads(namespace.run("ip", "-j", "-s", "link", "show", "v0").stdout)[0]["stats64"]
    return {(d, k): with_stats[d][k] for d in ("rx", "tx") for k in ("packets", "bytes")}


@test("the kernel's counters of the device and tshark say the same")
def _():
    where = bed()
    capture = Capture(where.a.ns, "v0")
    layers().mark()
    before = device_counters(where.a.ns)
    tcp(where, where.b.ip4, 50000, 50000)

    def ours(direction):
        rows = [layers().since(where.a.ns, "device", kind, direction)
                for kind in ("tcp", "udp", "icmp", "other_ip", "not_ip")]
        return sum(r["skbs"] for r in rows), sum(r["skb_bytes"] for r in rows)

    def theirs(direction):
        now = device_counters(where.a.ns)
        return tuple(now[direction, k] - before[direction, k] for k in ("packets", "bytes"))
    for kernel, direction in (("tx", "sent"), ("rx", "received")):
        wait_for(lambda k=kernel, d=direction: ours(d) == theirs(k), 5,
                 f"{direction}: ours {ours(direction)}, the kernel's {theirs(kernel)}")
    wanted = [layers().since(where.a.ns, "device", "tcp", d) for d in ("sent", "received")]
    total = sum(w["packets"] for w in wanted), sum(w["bytes"] for w in wanted)

    def tcp_rows(rows):
        lengths = [int(r[0]) for r in rows if r[1] == "6"]
        return len(lengths), sum(lengths)
    rows = capture.stop("frame.len", "ip.proto", until=lambda rows: tcp_rows(rows) == total)
    same(tcp_rows(rows), total, "tshark's TCP frames and bytes, and ours")


@test("the text of status shows each layer")
def _():
    text = nslens("status", "--state-dir", layers().folder).stdout
    for layer in ("socket tcp +sent", "l3 +tcp +received", "device +udp +sent"):
        check(re.search(rf" {layer} +[\d,]+ packets", text), f"it has {layer}", text)


@test("of namespaces that died the sums remain, their places are free again")
def _():
    one = Bed()
    one.tcp(client={"send": 12345, "recv": 0})
    cookies = one.cookies

    def places():
        line = json.loads(nslens("status", "-o", "json", "--state-dir", layers().folder).stdout)
        return line["layers"]
    wait_for(lambda: cookies <= {get(r, "netns.cookie") for r in places()["places"]}, 5, "their places")

    def total(layer):
        return sum(r["packets"] for r in layer["totals"])
    before = total(places())
    for host in (one.a, one.b):
        host.ns.delete()
    wait_for(lambda: not cookies & {get(r, "netns.cookie") for r in places()["places"]}, 20,
             "their places are free")
    check(total(places()) >= before, "the totals", (total(places()), before))


main()
