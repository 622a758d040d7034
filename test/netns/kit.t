#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kit itself: namespaces come and go, talk counts what it did, and a failed check fails."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403


def tcp(server_host, client_host, ip, server=None, client=None):
    s = server_host.talk("tcp-server", ip=ip, **(server or {}))
    c = client_host.talk("tcp-client", ip=ip, port=s.port, **(client or {}))
    return s.wait()[0], c.wait()[0]


@test("two hosts talk TCP over IPv4 and IPv6, and both ends count the same")
def _():
    bed = Bed()
    for ip in (bed.b.ip4, bed.b.ip6):
        s, c = tcp(bed.b.ns, bed.a.ns, ip, {"send": 1000}, {"send": 300000, "recv": 1000})
        same((c["sent"], c["received"]), (300000, 1000), "the client's counts")
        same((s["sent"], s["received"]), (1000, 300000), "the server's counts")
        same(c["local"], s["remote"], "the client's end, as both see it")


@test("across a bridge, with a name under /run/netns that is gone afterwards")
def _():
    bed = Bed(named=True, bridged=True)
    check(os.path.exists(bed.a.ns.path), "the name exists", bed.a.ns.path)
    s, c = tcp(bed.b.ns, bed.a.ns, bed.b.ip4, {}, {"send": 10, "recv": 0, "close": "rst"})
    same(s.get("error"), "ECONNRESET", "the server's error")
    bed.a.ns.delete()
    check(not os.path.exists(bed.a.ns.path), "the name is gone")


@test("UDP: connected, unconnected, many peers, multicast, v4-mapped")
def _():
    bed = Bed()
    mapped = "::ffff:" + bed.b.ip4
    for ip, listen in ((bed.b.ip4, bed.b.ip4), (bed.b.ip6, bed.b.ip6), (mapped, bed.b.ip4)):
        for connect in (False, True):
            s = bed.b.ns.talk("udp-server", ip=listen, count=6, reply=7)
            c = bed.a.ns.talk("udp-client", ip=ip, port=s.port, count=3, sockets=2, reply=7,
                              sizes="1,100,1400", connect=connect)
            counts = [(d["sent"], d["n_sent"], d["received"], d["n_received"]) for d in c.wait()]
            same(counts, [(1501, 3, 21, 3)] * 2, f"sockets that sent to {ip}, connect {connect}")
            counts = sorted((d["received"], d["sent"]) for d in s.wait())
            same(counts, [(1501, 21)] * 2, "the server's peers")
    s = bed.b.ns.talk("udp-server", ip="0.0.0.0", group="239.1.2.3", interface="v0", count=2)
    c = bed.a.ns.talk("udp-client", ip="239.1.2.3", interface="v0", port=s.port, count=2,
                      sizes="50")
    same((c.wait()[0]["sent"], s.wait()[0]["received"]), (100, 100), "multicast")


@test("a holder's namespace goes with its holder, and no process is left")
def _():
    ns = Namespace()
    pid = ns.holder.pid
    ns.holder.release()
    ns.holder.wait()
    check(not os.path.exists(f"/proc/{pid}"), "the holder is gone")


@test("a test that fails is not ok, and says why; what it made is taken down")
def _():
    inner = os.path.join(state_folder(), "inner.t")
    with open(inner, "w", encoding="utf-8") as f:
        f.write(f"import sys; sys.path.insert(0, {os.path.dirname(TALK)!r}); "
                f"sys.path.insert(0, {os.path.join(ROOT, 'test/lib')!r})\n"
                "from nslens_test import *\n"
                "@test('checks')\ndef _(): same(1, 2, 'numbers')\n"
                "@test('raises')\ndef _(): Namespace(); wait_for(lambda: False, 0.01, 'never')\n"
                "@test('skips')\ndef _(): skip('no reason')\n"
                "@test('holds')\ndef _(): same(1, 1, 'numbers')\nmain()\n")
    p = subprocess.run([sys.executable, inner], capture_output=True, text=True, timeout=60)
    same(p.returncode, 1, "status")
    for line in ("1..4", "not ok 1 - checks", "not ok 2 - raises", "ok 3 - skips # SKIP no reason",
                 "ok 4 - holds", "#   numbers: got 1, expected 2"):
        check(line in p.stdout.splitlines(), f"output has '{line}'", p.stdout)


main()
