#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Nothing bypasses unseen: each way past the kernel's usual path, and which hook sees it; what none
does is in the device's figure of unobserved packets. doc/bypass.md has the table."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from devices import *  # noqa: E402,F403

N = 100
TCX = ("tcx/ingress", "tcx/egress")
HEAD = ("way", "device", "", "kernel", "nslens", "tcx", "XDP hook", "unobserved")
RAW = """import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
for _ in range(int(sys.argv[2])):
    s.sendto(b"x" * 26, (sys.argv[1], 0))
"""


class World:
    """Namespaces a, b and c with devices that are hooked, x with our XDP program too, bare without any
    hook, and two hosts."""

    def __init__(self):
        self.a, self.b, self.c, self.x, self.bare = (Namespace() for _ in range(5))
        self.numbers = iter(range(100))
        for namespace in (self.a, self.b, self.c, self.x, self.bare):
            quiet(namespace)
        self.bed = Bed()
        cookies = [n.cookie for n in (self.a, self.b, self.c, self.x)] + sorted(self.bed.cookies)
        self.agent = Agent("--hook", " or ".join(f"netns={cookie}" for cookie in cookies),
                           "--xdp", f"netns={self.x.cookie}")


world = once(World)


class Station:
    """A device on the way, one direction of it."""

    def __init__(self, namespace, name, way, kernel_sees=N, seen=N, tcx=N, unobserved=0, xdp=None):
        self.name, self.way = name, way
        self.point = TCX[way == "tx"]
        self.expected = {f"kernel.{way}.packets": kernel_sees, f"{way}.skbs": seen, self.point: tcx or 0,
                         f"{way}.unobserved_packets": unobserved}
        if xdp is not None:
            self.expected["xdp"] = xdp
        points = TCX if tcx is not None else ()
        world().agent.hooked(namespace, name, *points, *(["xdp"] if xdp is not None else []))
        self.counted = Seen(world().agent, namespace, name)

    def row(self, how):
        """Check what came, and the table's row of it."""
        figures = self.counted.until(self.expected, how)
        got = [figures.get(name, 0) for name in self.expected]
        xdp = figures.get("xdp", "-") if self.way == "rx" else "-"
        return (how, self.name, self.way, got[0], got[1], got[2], xdp, got[3])


def table(how, act, *stations):
    act()
    say_table(HEAD, [station.row(how) for station in stations])


def pair(one, other, tag):
    """A veth pair, called so in both namespaces; its name."""
    veth(one, tag, other, tag)
    return tag


def set_xdp(namespace, name, verdict):
    same(attack(namespace, "xdp-set", name, verdict, "native").error, None, f"an XDP program, {verdict}")


# --- user space's ways out and in ----------------------------------------------------------------

@test("a packet socket: all hooks see it, on both sides")
def _():
    w = world()
    name = pair(w.a, w.b, "plain0")
    table("packet socket", lambda: send(w.a, name, N),
          Station(w.a, name, "tx"), Station(w.b, name, "rx"))


@test("PACKET_QDISC_BYPASS: unobserved where it leaves, seen where it comes")
def _():
    w = world()
    name = pair(w.a, w.b, "bypass0")
    table("PACKET_QDISC_BYPASS", lambda: send(w.a, name, N, "bypass"),
          Station(w.a, name, "tx", seen=0, tcx=0, unobserved=N), Station(w.b, name, "rx"))


@test("an AF_XDP socket that sends: unobserved where it leaves, seen where it comes")
def _():
    w = world()
    name = pair(w.a, w.b, "xsktx0")
    table("AF_XDP, sends", lambda: send(w.a, name, N, "xsk-send"),
          Station(w.a, name, "tx", seen=0, tcx=0, unobserved=N), Station(w.b, name, "rx"))


@test("an AF_XDP socket that receives: seen where it leaves, unobserved where it is taken")
def _():
    w = world()
    name = pair(w.a, w.b, "xskrx0")
    stations = Station(w.a, name, "tx"), Station(w.b, name, "rx", seen=0, tcx=0, unobserved=N)
    receiver = w.b.start(FRAMES, "xsk-receive", name, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    same(json.loads(receiver.stdout.readline()), {"event": "ready"}, "the receiver")
    table("AF_XDP, receives", lambda: send(w.a, name, N), *stations)
    receiver.stdin.close()
    same(json.loads(receiver.stdout.readline())["frames"], N, "frames that it got")


@test("where our XDP program is, AF_XDP can't receive; the program sees all")
def _():
    w = world()
    name = pair(w.a, w.x, "held0")
    stations = Station(w.a, name, "tx"), Station(w.x, name, "rx", xdp=N)
    p = w.x.run(FRAMES, "xsk-receive", name, stdin=subprocess.DEVNULL, check_status=False)
    check(p.returncode == 1 and "busy" in p.stderr, "the socket's program finds no room", p.stderr)
    table("our XDP program", lambda: send(w.a, name, N), *stations)


@test("a raw IP socket: all hooks see it")
def _():
    w = world()
    name = pair(w.a, w.b, "raw0")
    w.a.run("ip", "address", "add", "10.250.1.1/24", "dev", name)
    w.a.run("ip", "neighbour", "add", "10.250.1.9", "lladdr", address(w.b, name), "dev", name)
    table("raw socket", lambda: w.a.run(sys.executable, "-c", RAW, "10.250.1.9", str(N)),
          Station(w.a, name, "tx"), Station(w.b, name, "rx"))


def agreed(counted):
    """The figures of a device once nslens and the kernel have the same numbers of packets, not 0."""
    def both():
        figures = counted.since()
        pairs = [(figures.get(f"{way}.skbs"), figures.get(f"kernel.{way}.packets")) for way in ("rx", "tx")]
        return figures if all(ours == theirs and ours for ours, theirs in pairs) else None
    return wait_for(both, 10, "nslens and the kernel agree")


@test("ARP and neighbour discovery, which the kernel sends itself: all hooks see them")
def _():
    w = world()
    hosts = w.bed.a, w.bed.b
    for host in hosts:
        w.agent.hooked(host.ns, "v0", *TCX)
        host.ns.run("ip", "neighbour", "flush", "dev", "v0")
    counts = [Seen(w.agent, host.ns, "v0") for host in hosts]
    for ip in (hosts[1].ip4, hosts[1].ip6):
        hosts[0].ns.run("ping", "-c", "1", "-W", "5", ip)
    rows = []
    for figures in map(agreed, counts):
        few = {(way, family): figures.get(f"{way}.{family}") for way in ("rx", "tx")
               for family, least in (("arp", 1), ("ipv6", 2), ("ipv4", 1))
               if figures.get(f"{way}.{family}", 0) < least}
        check(not few, "a ping, ARP, and neighbour discovery each way", few)
        for way, point in (("tx", TCX[1]), ("rx", TCX[0])):
            same(figures.get(point), figures[f"{way}.skbs"], f"packets at {point}")
            same(figures.get(f"{way}.unobserved_packets"), 0, f"unobserved packets, {way}")
            rows.append(("ARP, ND, ping", "v0", way, figures[f"kernel.{way}.packets"],
                         figures[f"{way}.skbs"], figures.get(point), "-", 0))
    say_table(HEAD, rows)


# --- what XDP programs of others do ---------------------------------------------------------------

@test("XDP_DROP: seen where it leaves, unobserved where it is dropped")
def _():
    w = world()
    name = pair(w.a, w.b, "xdpdrop0")
    stations = Station(w.a, name, "tx"), Station(w.b, name, "rx", seen=0, tcx=0, unobserved=N)
    set_xdp(w.b, name, "drop")
    table("XDP_DROP", lambda: send(w.a, name, N), *stations)


@test("XDP_TX: unobserved where it turns back, seen at the other end, both ways")
def _():
    w = world()
    name = pair(w.a, w.b, "xdptx0")
    stations = (Station(w.a, name, "tx"), Station(w.a, name, "rx"),
                Station(w.b, name, "rx", seen=0, tcx=0, unobserved=N),
                Station(w.b, name, "tx", seen=0, tcx=0, unobserved=N))
    set_xdp(w.a, name, "pass")   # a veth takes frames of XDP only if it has a program, too
    set_xdp(w.b, name, "tx")
    table("XDP_TX", lambda: send(w.a, name, N), *stations)


@test("XDP_REDIRECT between veths: unobserved at both devices of the program, seen at the ends")
def _():
    w = world()
    name, onward = pair(w.a, w.b, "xdpfrom0"), pair(w.b, w.c, "xdpto0")
    stations = (Station(w.a, name, "tx"),
                Station(w.b, name, "rx", seen=0, tcx=0, unobserved=N),
                Station(w.b, onward, "tx", seen=0, tcx=0, unobserved=N),
                Station(w.c, onward, "rx"))
    set_xdp(w.c, onward, "pass")
    set_xdp(w.b, name, f"redirect:{onward}")
    table("XDP_REDIRECT", lambda: send(w.a, name, N), *stations)


# --- what tcx programs of others do ----------------------------------------------------------------

def redirected(how, verdict, onward_tx, onward_rx, to=None):
    """Frames that come to b are redirected by a tcx program behind ours, to a device whose peer is in @to."""
    w = world()
    tag = f"{verdict.strip(':')[:7]}{next(w.numbers)}"
    name, onward = pair(w.a, w.b, f"{tag}-in"), pair(w.b, to or w.c, f"{tag}-out")
    stations = [Station(w.a, name, "tx"), Station(w.b, name, "rx"), *onward_tx(onward), *onward_rx(onward)]
    same(attack(w.b, "tcx-prog", name, "ingress", verdict + onward, "last").error, None, "the program")
    table(how, lambda: send(w.a, name, N), *stations)


@test("bpf_redirect to another device: all hooks see it")
def _():
    w = world()
    redirected("bpf_redirect", "redirect:", lambda to: [Station(w.b, to, "tx")],
               lambda to: [Station(w.c, to, "rx")])


@test("bpf_clone_redirect: all hooks see the copy")
def _():
    w = world()
    redirected("bpf_clone_redirect", "clone:", lambda to: [Station(w.b, to, "tx")],
               lambda to: [Station(w.c, to, "rx")])


@test("bpf_redirect into another device's receive side: seen there, where the kernel counts nothing")
def _():
    w = world()
    redirected("bpf_redirect, ingress", "ingress:", lambda to: [Station(w.b, to, "rx", kernel_sees=0)],
               lambda to: [])


@test("bpf_redirect_peer: only the tcx hook of the device sees it; without one it is unobserved")
def _():
    w = world()
    onward_tx = lambda to: [Station(w.b, to, "tx", kernel_sees=0, seen=0, tcx=0)]   # noqa: E731
    redirected("bpf_redirect_peer", "peer:", onward_tx, lambda to: [Station(w.c, to, "rx")])
    redirected("bpf_redirect_peer, to a device without hooks", "peer:", onward_tx,
               lambda to: [Station(w.bare, to, "rx", seen=0, tcx=None, unobserved=N)], to=w.bare)


# --- stacked devices -----------------------------------------------------------------------------

def macvlans(tag):
    """Two on one lower device of a, one in c: (the lower one's name, the one in a, the one in c)."""
    w = world()
    lower = pair(w.a, w.b, f"{tag}-low")
    for name in (f"{tag}-1", f"{tag}-2"):
        w.a.run("ip", "link", "add", name, "link", lower, "type", "macvlan", "mode", "bridge")
    move(w.a, f"{tag}-2", w.c, f"{tag}-2")
    w.a.run("ip", "link", "set", f"{tag}-1", "up")
    w.c.run("ip", "link", "set", f"{tag}-2", "up")
    return lower, f"{tag}-1", f"{tag}-2"


@test("macvlan, switched locally: seen at both, and as received, not sent, by the device below")
def _():
    w = world()
    lower, one, two = macvlans("mvl")
    stations = (Station(w.a, one, "tx"), Station(w.c, two, "rx"),
                Station(w.a, lower, "tx", kernel_sees=0, seen=0, tcx=0),
                Station(w.a, lower, "rx", kernel_sees=0))
    to = address(w.c, two)
    table("macvlan, local", lambda: send(w.a, one, N, to=to), *stations)


@test("macvlan, from outside: seen at the device below, and by tcx at the macvlan")
def _():
    w = world()
    lower, _one, two = macvlans("mvx")
    stations = Station(w.b, lower, "tx"), Station(w.a, lower, "rx"), Station(w.c, two, "rx")
    to = address(w.c, two)
    table("macvlan, from outside", lambda: send(w.b, lower, N, to=to), *stations)


main()
