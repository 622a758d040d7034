#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counted at each device: known numbers of packets through each kind, ours beside the kernel's; equal
indexes in different namespaces are different devices; devices of a moment are seen from their first
packet on."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from devices import *  # noqa: E402,F403

ETHERNET, IP4, UDP = 14, 20, 8
TCX = ("tcx/ingress", "tcx/egress")
# The kernel's bytes of a packet are ours, less so many: (rx, tx). doc/device-counters.md has the rule.
HEADER_NOT_COUNTED = {"veth": (0, 0), "loopback": (14, 14), "bridge": (14, 0), "macvlan": (0, 0), "tun": (0, 0),
                      "tap": (0, 0), "vxlan": (14, 14)}
VXLAN = ETHERNET + IP4 + UDP + 8


class World:
    """Namespaces a and b, quiet, an agent that has hooks in s, where stacked devices are."""

    def __init__(self):
        self.a, self.b, self.s = Namespace(), Namespace(), Namespace()
        for namespace in (self.a, self.b, self.s):
            quiet(namespace)
        self.agent = Agent("--hook", f"netns={self.s.cookie}")
        self.numbers = iter(range(1, 250))

    def pair(self, name, one=None, other=None):
        """A veth pair with addresses and without ARP: (here, there), of which each is (namespace, name, IP)."""
        one, other, net = one or self.a, other or self.b, f"10.251.{next(self.numbers)}"
        veth(one, name, other, name)
        ends = [(one, name, f"{net}.1"), (other, name, f"{net}.2")]
        for (namespace, device, ip), (far, far_device, far_ip) in (ends, ends[::-1]):
            namespace.run("ip", "address", "add", f"{ip}/24", "dev", device)
            namespace.run("ip", "neighbour", "add", far_ip, "lladdr", address(far, far_device), "dev", device)
        return ends


world = once(World)


def seen(namespace, name):
    """Counting begins when nslens knows the device."""
    world().agent.await_one(namespace, name)
    return Seen(world().agent, namespace, name)


def agrees(kind, counted, rx=None, tx=None):
    """Both directions are the kernel's: packets and drops exactly, bytes by the kind's rule; @rx and @tx
    are what else is known, {figure: number}. Returns the figures."""
    expected = {f"{way}.{name}": value for way, more in (("rx", rx), ("tx", tx)) for name, value in
                (more or {}).items()}
    figures = counted.until({**expected, "rx.unobserved_packets": 0, "tx.unobserved_packets": 0},
                            f"known figures of a {kind}")
    for way, header in zip(("rx", "tx"), HEADER_NOT_COUNTED[kind]):
        got = {name: figures.get(f"{way}.{name}", 0) for name in ("skbs", "skb_bytes")}
        theirs = {name: figures.get(f"kernel.{way}.{name}", 0) for name in ("packets", "bytes", "dropped")}
        dropped = theirs["dropped"] if kind in ("tun", "tap") and way == "tx" else 0
        same(got["skbs"], theirs["packets"] + dropped, f"{kind}, {way}: skbs, and the kernel's packets")
        if not dropped:
            same(got["skb_bytes"] - header * got["skbs"], theirs["bytes"], f"{kind}, {way}: bytes")
        say(f"{kind} {way}: {got['skbs']} skbs, {figures.get(f'{way}.packets', 0)} packets, "
            f"{got['skb_bytes']} bytes; the kernel's {theirs}")
    return figures


def datagrams(one, other, n, payload):
    """UDP, one by one, from an end to the other."""
    server = other[0].talk("udp-server", ip=other[2], count=n)
    one[0].talk("udp-client", ip=other[2], port=server.port, count=n, sizes=str(payload)).wait()
    server.wait()


def bulk(one, other, n):
    """TCP from an end to the other."""
    server = other[0].talk("tcp-server", ip=other[2])
    one[0].talk("tcp-client", ip=other[2], port=server.port, send=n, recv=0).wait()
    server.wait()


def segments(namespace):
    """TCP segments that were sent there, as its TCP counts them."""
    lines = namespace.run("cat", "/proc/net/snmp").stdout.splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("Tcp:"))
    figures = dict(zip(names, map(int, values)))
    return figures["OutSegs"] + figures["RetransSegs"]


# --- veth and loopback ---------------------------------------------------------------------------------

@test("veth: datagrams one by one, to the byte at both ends")
def _():
    one, other = world().pair("udp0")
    here, there = seen(*one[:2]), seen(*other[:2])
    datagrams(one, other, 200, 100)
    size = ETHERNET + IP4 + UDP + 100
    want = {"skbs": 200, "packets": 200, "bytes": 200 * size, "skb_bytes": 200 * size, "ipv4": 200, "arp": 0,
            "multicast": 0, "broadcast": 0}
    agrees("veth", here, tx=want, rx={"skbs": 0})
    agrees("veth", there, rx=want, tx={"skbs": 0})


@test("veth: TCP in bulk is as many packets as TCP says it is, and as many skbs as the kernel counts")
def _():
    one, other = world().pair("bulk0")
    here, there = seen(*one[:2]), seen(*other[:2])
    before = [segments(end[0]) for end in (one, other)]
    bulk(one, other, 20_000_000)
    sent = [segments(end[0]) - then for end, then in zip((one, other), before)]
    check(sent[0] > 13000, "segments of the bulk", sent)
    for counted, (out, back) in ((here, sent), (there, sent[::-1])):
        agrees("veth", counted, tx={"packets": out, "ipv4": out}, rx={"packets": back, "ipv4": back})
    check(here.since()["tx.packets"] > 3 * here.since()["tx.skbs"], "an skb was many packets", here.since())


@test("veth: unicast, multicast and broadcast, and frames of another protocol")
def _():
    one, other = world().pair("cast0")
    here, there = seen(*one[:2]), seen(*other[:2])
    send(*one[:2], 10, to=address(*other[:2]))
    send(*one[:2], 20, to="01:00:5e:00:00:63")
    send(*one[:2], 30)
    want = {"skbs": 60, "multicast": 20, "broadcast": 30, "other": 60, "ipv4": 0, "bytes": 60 * LENGTH}
    agrees("veth", here, tx=want)
    agrees("veth", there, rx=want)


def captured_from_now(bed):
    """A capture at a's device, and the counts of both ends, that begin with the same packet."""
    for _ in range(20):
        capture = Capture(bed.a.ns, "v0")
        counts = [seen(host.ns, "v0") for host in (bed.a, bed.b)]
        if not capture.rows("frame.len"):
            return capture, counts
    raise Failed("packets come all the time")


@test("veth: ARP, and IPv6's neighbour discovery, as tshark sees them")
def _():
    bed = Bed()
    capture, counts = captured_from_now(bed)
    for host in (bed.a, bed.b):
        host.ns.run("ip", "neighbour", "flush", "dev", "v0")
    for ip in (bed.b.ip4, bed.b.ip6):
        bed.a.ns.run("ping", "-c", "3", "-i", "0.01", ip)
    figures, rows = [], []

    def complete(so_far):
        """Everybody has the same packets, of which some may come by themselves."""
        figures[:], rows[:] = [counted.since() for counted in counts], so_far
        return {len(rows)} == {sum(one[f"{who}{way}"] for way in ways)
                               for one in figures for who, ways in (("", ("rx.skbs", "tx.skbs")),
                                                                    ("kernel.", ("rx.packets", "tx.packets")))}
    capture.stop("frame.protocols", "frame.len", until=complete)
    for family, protocol in (("arp", ":arp"), ("ipv4", ":ip:"), ("ipv6", ":ipv6:")):
        n = sum(protocol in row[0] for row in rows)
        check(n > 0, f"packets of {family}")
        same([sum(one.get(f"{way}.{family}", 0) for way in ("rx", "tx")) for one in figures], [n, n],
             f"packets of {family}, and tshark's")
    n = sum(int(row[1]) for row in rows)
    same([sum(one[f"{way}.bytes"] for way in ("rx", "tx")) for one in figures], [n, n], "bytes, and tshark's")


@test("loopback: what is sent is received, its header counts with us")
def _():
    one = (world().a, "lo", "127.0.0.1")
    counted = seen(*one[:2])
    datagrams(one, one, 100, 100)
    want = {"skbs": 100, "bytes": 100 * (ETHERNET + IP4 + UDP + 100), "ipv4": 100}
    agrees("loopback", counted, rx=want, tx=want)
    bulk(one, one, 1_000_000)
    figures = agrees("loopback", counted)
    same(figures["rx.packets"], figures["tx.packets"], "packets of both directions")


# --- what forwards, what stands on another ---------------------------------------------------------------

@test("a bridge and its ports")
def _():
    w = world()
    w.b.run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
    w.b.run("ip", "link", "set", "br0", "up")
    for port in ("port1", "port2"):
        veth(w.a, port, w.b, port)
        w.b.run("ip", "link", "set", port, "master", "br0")
    counts = {name: seen(w.b, name) for name in ("br0", "port1", "port2")}
    send(w.a, "port1", 50)                                              # flooded, and to the bridge itself
    send(w.a, "port2", 20, to=address(w.b, "br0"))                      # only to the bridge itself
    send(w.b, "br0", 5)                                                 # out of all ports
    agrees("bridge", counts["br0"], rx={"skbs": 70, "broadcast": 50}, tx={"skbs": 5})
    agrees("veth", counts["port1"], rx={"skbs": 50}, tx={"skbs": 5})
    agrees("veth", counts["port2"], rx={"skbs": 20}, tx={"skbs": 55})


@test("macvlan: what it receives is counted by tcx, once, and at the device below too")
def _():
    w = world()
    one, other = w.pair("lower0", w.s, w.b)
    w.s.run("ip", "link", "add", "mv0", "link", "lower0", "type", "macvlan", "mode", "bridge")
    w.s.run("ip", "link", "set", "mv0", "up")
    line = w.agent.hooked(w.s, "mv0", *TCX)
    expect(line, {"device.kind": "macvlan", "device.stacked": True, "device.lower.name": "lower0"}, "what it is")
    upper, lower = seen(w.s, "mv0"), seen(*one[:2])
    send(*other[:2], 40, to=address(w.s, "mv0"))
    send(*other[:2], 2)                                                 # for both
    send(w.s, "mv0", 7)
    agrees("macvlan", upper, rx={"skbs": 42, "broadcast": 2}, tx={"skbs": 7})
    agrees("veth", lower, rx={"skbs": 42}, tx={"skbs": 7})


@test("vxlan: inside the frame, outside what carries it")
def _():
    w = world()
    ends = w.pair("under0")
    for (namespace, device, ip), (_far, _device, far_ip) in (ends, ends[::-1]):
        namespace.run("ip", "link", "add", "vx0", "type", "vxlan", "id", "7", "local", ip, "remote", far_ip,
                      "dev", device, "dstport", "4789")
        namespace.run("ip", "link", "set", "vx0", "up")
    inner = [seen(end[0], "vx0") for end in ends]
    outer = [seen(*end[:2]) for end in ends]
    send(w.a, "vx0", 30)
    want = {"skbs": 30, "bytes": 30 * LENGTH, "other": 30, "broadcast": 30}
    agrees("vxlan", inner[0], tx=want)
    agrees("vxlan", inner[1], rx=want)
    want = {"skbs": 30, "bytes": 30 * (LENGTH + VXLAN), "ipv4": 30}
    agrees("veth", outer[0], tx=want)
    agrees("veth", outer[1], rx=want)


@test("ifb: what is redirected to it is sent by it; the kernel says that it received it, too")
def _():
    w = world()
    one, other = w.pair("toifb0")
    w.b.run("ip", "link", "add", "ifb7", "type", "ifb")
    w.b.run("ip", "link", "set", "ifb7", "up")
    counted, at = seen(w.b, "ifb7"), seen(*other[:2])
    same(attack(w.b, "tcx-prog", other[1], "ingress", "redirect:ifb7", "last").error, None, "the redirection")
    send(*one[:2], 25, to=address(*other[:2]))
    counted.until({"tx.skbs": 25, "tx.bytes": 25 * LENGTH, "kernel.tx.packets": 25, "rx.skbs": 0,
                   "kernel.rx.packets": 25, "rx.unobserved_packets": 0, "tx.unobserved_packets": 0}, "ifb's figures")
    # It hands them back to the device that they came from, which receives them once more.
    at.until({"rx.skbs": 50, "kernel.rx.packets": 25, "rx.unobserved_packets": 0}, "the device that redirects")


# --- tun and tap ------------------------------------------------------------------------------------------

class Tap:
    """A tun or tap device of a namespace, and the process behind it."""

    def __init__(self, kind, namespace, name):
        self.kind, self.ns, self.name = kind, namespace, name
        self.process = namespace.start(sys.executable, os.path.join(ROOT, "test/lib/tap.py"), kind, name,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        same(self.process.stdout.readline(), b"ready\n", f"a {kind}")
        namespace.run("ip", "link", "set", name, "up")

    def order(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@test("tap: both ways, and what its queue had no room for")
def _():
    tap = Tap("tap", world().a, "tap0")
    tap.ns.run("ip", "link", "set", tap.name, "txqueuelen", "300")
    counted = seen(tap.ns, tap.name)
    tap.order("write", 60, 77)
    send(tap.ns, tap.name, 900)
    n = tap.order("read")
    check(0 < n < 900, "frames that its queue had room for", n)
    figures = agrees("tap", counted, rx={"skbs": 60, "bytes": 60 * 77, "broadcast": 60}, tx={"skbs": 900})
    same((figures["kernel.tx.packets"], figures["kernel.tx.dropped"]), (n, 900 - n), "the kernel's")


@test("tun: packets without an L2 header")
def _():
    tun = Tap("tun", world().a, "tun0")
    tun.ns.run("ip", "address", "add", "10.252.0.1/24", "dev", "tun0")
    counted = seen(tun.ns, tun.name)
    tun.order("write", 60, 77)
    tun.ns.talk("udp-client", ip="10.252.0.2", port=9, count=200, sizes="100").wait()
    same(tun.order("read"), 200, "packets that came out of it")
    agrees("tun", counted, rx={"skbs": 60, "bytes": 60 * 77, "ipv4": 60},
           tx={"skbs": 200, "bytes": 200 * (IP4 + UDP + 100), "ipv4": 200})


# --- who is who -------------------------------------------------------------------------------------------

@test("equal indexes in different namespaces are different devices")
def _():
    w = world()
    far = Namespace()
    quiet(far)
    counts = []
    for i, namespace in enumerate((Namespace(), Namespace(), Namespace(True))):
        quiet(namespace)
        namespace.run("ip", "link", "add", "same0", "index", "77", "type", "veth", "peer", "name", "peer0")
        move(namespace, "peer0", far, f"far{i}")
        namespace.run("ip", "link", "set", "same0", "up")
        far.run("ip", "link", "set", f"far{i}", "up")
        counts.append(seen(namespace, "same0"))
    for i, counted in enumerate(counts, 1):
        send(counted.namespace, "same0", 10 * i)
        send(far, f"far{i - 1}", 100 * i)
    for i, counted in enumerate(counts, 1):
        agrees("veth", counted, tx={"skbs": 10 * i}, rx={"skbs": 100 * i})
        line = w.agent.one(counted.namespace, "same0")
        expect(line, {"device.ifindex": 77, "device.kind": "veth", "device.peer.name": f"far{i - 1}",
                      "device.peer.netns.cookie": far.cookie, "netns.name": counted.namespace.name}, "what it is")


@test("devices of a moment: 1,000 in 100 fresh namespaces, each with its first packet")
def _():
    w = world()
    n = volume(100)
    agent = w.agent
    p = run(BIRTHS, str(n), "5", "20", seconds=60)
    *born, done = map(json.loads, p.stdout.splitlines())
    same((len(born), done["devices"]), (10 * n, 10 * n), "devices that were made")
    want = {(d["cookie"], d["ifindex"]): d for d in born}

    def gone():
        lines = {(get(line, "netns.cookie"), get(line, "device.ifindex")): line for line in agent.devices("--gone")}
        return lines if set(want) <= set(lines) else None
    try:
        lines = wait_for(gone, 10, "all of them are among the devices that are gone")
    except Failed as e:
        lines = {(get(line, "netns.cookie"), get(line, "device.ifindex")): line for line in agent.devices("--gone")}
        check(False, str(e), f"{len(set(want) & set(lines))} of {len(want)} are")
    wrong = [(key, {way: {name: get(lines[key], f"{way}.{name}", 0) for name in ("skbs", "bytes")}
                    for way in ("rx", "tx")})
             for key in want if key in lines and
             {get(lines[key], f"{way}.{name}", 0) for way in ("rx", "tx") for name, one in
              (("skbs", 1), ("bytes", want[key]["bytes"])) if get(lines[key], f"{way}.{name}", 0) != one}]
    same(wrong[:3], [], f"{len(wrong)} devices with other figures than one frame each way")
    say(f"{len(born)} devices in {n} namespaces within {done['seconds']} s: {len(set(want) & set(lines))} seen, "
        f"{len(set(want) & set(lines)) - len(wrong)} with all that they sent and received")


main()
