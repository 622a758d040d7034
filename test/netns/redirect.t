#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""connect() that other BPF programs redirect or that fails before a packet, connections that a proxy takes."""
import errno
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

ACTOR = os.path.join(ROOT, "test/lib/actor.py")
BALANCER = os.path.join(BUILD, "test/lib/balancer")
ASKED_PORT = 8888


def needs_order():
    """Where ours can't run first, what was asked for is not seen, and doctor says so."""
    lines = run(NSLENS, "doctor", "-o", "json", check_status=False).stdout.splitlines()
    found = {get(line, "doctor.check"): line for line in map(json.loads, lines)}
    if get(found["order at connect()"], "doctor.state") != "ok":
        skip(get(found["order at connect()"], "doctor.without"))


def pairs(bed):
    """The client's address, the server's, and one that nobody has."""
    return (bed.a.ip4, bed.b.ip4, "192.0.2.1"), (bed.a.ip6, bed.b.ip6, "2001:db8::1")


@test("a socket load balancer: ip and port are what connect() was asked for, nat what was reached")
def _():
    needs_order()
    bed, cgroup = Bed(), make_cgroup()
    watch = Observe("port", "=", str(ASKED_PORT), near=[bed])
    for own_ip, server_ip, asked_ip in pairs(bed):
        server = bed.b.ns.talk("tcp-server", ip=server_ip)
        Talk([BALANCER, cgroup, asked_ip, str(ASKED_PORT), server_ip, str(server.port)])
        client = bed.a.ns.talk("tcp-client", wrap=in_cgroup(cgroup), ip=asked_ip, port=ASKED_PORT,
                               send=100, recv=0)
        line, server_line = client.wait()[0], server.wait()[0]
        for action in ("open", "close"):
            event = watch.wait(by_ports(line, action), what=f"the {action}")
            expect(event, {
                "flow.seen_by": ["source", "destination"],
                "source.ip": own_ip, "source.port": ports_of(line)[0], "source.nat": None,
                "destination.ip": asked_ip, "destination.port": ASKED_PORT,
                "destination.nat.ip": server_ip, "destination.nat.port": server.port,
                "source.process.pid": line["pid"], "destination.process.pid": server_line["pid"],
            }, f"{action} of {asked_ip}")
    watch.stop()


@test("balanced to an address that refuses: fail, with what was asked for and what was reached")
def _():
    needs_order()
    bed, cgroup = Bed(), make_cgroup()
    watch = Observe(near=[bed])
    for _, server_ip, asked_ip in pairs(bed):
        Talk([BALANCER, cgroup, asked_ip, str(ASKED_PORT), server_ip, "1"])
        client = bed.a.ns.talk("tcp-client", wrap=in_cgroup(cgroup), ip=asked_ip, port=ASKED_PORT)
        line = client.wait(status=None)[0]
        expect(watch.wait(by_ports(line, "fail"), what="the fail"), {
            "flow.reason": "refused", "destination.ip": asked_ip,
            "destination.nat.ip": server_ip, "destination.nat.port": 1,
            "source.process.pid": line["pid"],
        }, f"fail of {asked_ip}")
    watch.stop()


def fail_of(actor, port, n=1):
    """A predicate: the fail of that process's connect()."""
    return lambda event: (get(event, "event.action") == "fail" and
                          get(event, "destination.port") == port and
                          get(event, "source.process.pid") == actor.pid)


@test("connect() without a route: fail, unreachable, and by whom; again, non-blocking, at exit")
def _():
    bed = Bed()
    watch = Observe(near=[bed])
    for _, server_ip, nowhere in pairs(bed):
        for port, how in enumerate(("", "again", "nonblocking", "exit"), 1001):
            server = bed.b.ns.talk("tcp-server", ip=server_ip)
            client = Talk(bed.a.ns.enter(sys.executable, ACTOR, "fails", json.dumps({
                "ip": nowhere, "port": port, "how": how, "good": [server_ip, server.port]})))
            line = client.expect("done")
            n = 2 if how == "again" else 1
            same(line["errors"], [errno.ENETUNREACH] * n, "connect()")
            events = watch.wait(fail_of(client, port), what=f"fail ({how})", n=2)[:2] if n == 2 else \
                [watch.wait(fail_of(client, port), what=f"fail ({how})")]
            for event in events:
                expect(event, {
                    "event.outcome": "failure", "flow.reason": "unreachable",
                    "flow.closed_by": "kernel", "flow.seen_by": ["source"],
                    "event.start": lambda at: at, "event.end": None, "event.duration": None,
                    "source.ip": None, "source.port": None,
                    "source.netns.cookie": bed.a.ns.cookie, "source.netns.inode": bed.a.ns.inode,
                    "destination.ip": nowhere, "destination.port": port,
                }, f"fail of {nowhere}, {how}")
            if how == "again":
                client.go()
                expect(watch.wait(by_ports(line, "close"), what="the close"), {
                    "source.process.pid": client.pid, "destination.ip": server_ip}, "the good one")
            same(len(watch.all(fail_of(client, port))), n, f"fails ({how})")
    watch.stop()


TRANSPARENT = """import json, os, socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_IP, 19, 1)   # IP_TRANSPARENT
s.bind(("0.0.0.0", 0))
s.listen(1)
print(json.dumps({"port": s.getsockname()[1], "pid": os.getpid()}), flush=True)
c, _ = s.accept()
c.recv(100, socket.MSG_WAITALL)
c.sendall(b"x" * 20)
c.recv(1)
"""


@test("TPROXY: the proxy that took the connection is its other end, under the address that was asked for")
def _():
    bed = Bed()
    bed.a.ns.run("ip", "route", "add", "192.0.2.0/24", "via", bed.b.ip4)
    taker = bed.b.ns.start(sys.executable, "-c", TRANSPARENT, stdout=subprocess.PIPE)
    ready = json.loads(taker.stdout.readline())
    bed.b.ns.nft("table ip t {\n chain c {\n type filter hook prerouting priority mangle;\n"
                 f" tcp dport 8888 tproxy to :{ready['port']} meta mark set 1 accept\n }}\n}}\n")
    bed.b.ns.run("ip", "rule", "add", "fwmark", "1", "lookup", "100")
    bed.b.ns.run("ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100")
    watch = Observe("port", "=", "8888", near=[bed])
    line = bed.a.ns.talk("tcp-client", ip="192.0.2.1", port=8888, send=100, recv=20).wait()[0]
    expect(watch.wait(by_ports(line, "close"), what="the close"), {
        "flow.seen_by": ["source", "destination"], "source.bytes": 100, "destination.bytes": 20,
        "source.ip": bed.a.ip4, "destination.ip": "192.0.2.1", "destination.port": 8888,
        "source.process.pid": line["pid"], "destination.process.pid": ready["pid"],
        "destination.netns.cookie": bed.b.ns.cookie}, "one conversation")
    watch.stop()
    watch.check_lines()


main()
