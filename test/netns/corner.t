#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Corners of the kernel's ways: sockets that go another way through their states than most."""
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

CLONE_NEWNET = 0x40000000
MSG_FASTOPEN = 0x20000000
TCP_FASTOPEN = 23
PORT = 7000


def inside(namespace, function):
    """Run function() in a process of its own in the namespace; what ends it is a method of the result."""
    ready, told = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            fd = os.open(namespace.path, os.O_RDONLY)
            if not libc.setns(fd, CLONE_NEWNET):
                function(lambda: os.write(told, b"."))
                status = 0
        except Exception as e:
            print(f"# in the namespace: {e!r}", flush=True)
        finally:
            os._exit(status)
    os.close(told)

    def end():
        os.close(ready)
        same(os.waitpid(pid, 0)[1], 0, "status of the process in the namespace")
    end.ready = lambda: os.read(ready, 1)
    return end


def is_flow(action, port=PORT):
    return lambda e: (get(e, "event.action"), get(e, "destination.port")) == (action, port)


def filter_input(namespace, *rules):
    lines = "\n".join(rules)
    namespace.nft("table inet t { chain i { type filter hook input priority 0;\n" + lines + "\n}\n}\n")


@test("TCP Fast Open: a server that answers and closes before the handshake ends")
def _():
    n = 4
    ns = Namespace()
    ns.sysctl("net.ipv4.tcp_fastopen", 0x403)   # both sides, without cookies
    watch = Observe(near=[ns])
    # The ACK that ends the handshake is dropped, all but the first.
    ack = f"tcp dport {PORT} tcp flags & (syn|fin|rst|ack) == ack"
    filter_input(ns, f"{ack} limit rate 1/hour burst 1 packets accept", f"{ack} drop")

    def server(ready):
        listener = socket.socket()
        listener.bind(("127.0.0.1", PORT))
        listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 16)
        listener.listen(16)
        ready()
        for _ in range(n):
            one = listener.accept()[0]
            one.recv(100)
            one.sendall(b"y" * 50)
            one.close()

    def client(ready):
        for _ in range(n):
            one = socket.socket()
            one.sendto(b"x" * 20, MSG_FASTOPEN, ("127.0.0.1", PORT))
            while one.recv(100):
                pass
            one.close()

    ending = inside(ns, server)
    ending.ready()
    inside(ns, client)()
    ending()
    closes = watch.wait(is_flow("close"), n=n, what="the closes")
    for event in closes:
        expect(event, {"flow.seen_by": ["source", "destination"], "source.bytes": 20,
                       "destination.bytes": 50, "source.process.pid": known,
                       "destination.process.pid": known, "flow.accepted": True,
                       "flow.reason": "fin"}, "both ends, with their bytes and processes")
    same(len(watch.all(is_flow("open"))), n, "opens")
    watch.stop()


@test("a connect() that doesn't wait, and gives up when ICMP says unreachable: fail, unreachable")
def _():
    bed = Bed()
    watch = Observe(near=[bed])
    filter_input(bed.b.ns, f"tcp dport {PORT} reject with icmpx type admin-prohibited",
                 f"tcp dport {PORT + 1} meta nfproto ipv4 reject with icmp type prot-unreachable")
    peers = [(socket.AF_INET, bed.b.ip4, PORT), (socket.AF_INET, bed.b.ip4, PORT + 1),
             (socket.AF_INET6, bed.b.ip6, PORT)]

    def client(ready):
        for family, ip, port in peers:
            one = socket.socket(family)
            one.settimeout(0.3)
            try:
                one.connect((ip, port))
            except OSError:
                pass
            one.close()

    inside(bed.a.ns, client)()
    for _, ip, port in peers:
        event = watch.wait(lambda e: is_flow("fail", port)(e) and get(e, "destination.ip") == ip,
                           what=f"the failure of {ip} port {port}")
        expect(event, {"flow.reason": "unreachable", "flow.closed_by": "kernel"}, "why it failed")
    watch.stop()


@test("a connection that ss -K ends: closed by the kernel, of the process that used it")
def _():
    ns = Namespace()
    watch = Observe(near=[ns])
    server = ns.talk("tcp-server", ip="127.0.0.1")
    client = ns.talk("tcp-client", ip="127.0.0.1", port=server.port, send=3, recv=0, pause="close")
    client.expect("paused")
    if "Netid" not in ns.run("ss", "-K", "dport", "=", str(server.port)).stdout:
        skip("ss can't end connections here")
    event = watch.wait(is_flow("close", server.port), what="the close")
    expect(event, {"flow.reason": "reset", "flow.closed_by": "kernel",
                   "source.process.pid": client.pid}, "who and why")
    watch.stop()


@test("UDP sockets closed while datagrams arrive: each conversation that opens also ends")
def _():
    ns = Namespace()
    watch = Observe(near=[ns])
    n = 20000

    def receiver(ready):
        for i in range(n):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.bind(("127.0.0.1", PORT))
            if not i:
                ready()
            one.recv(10)
            one.close()

    def sender(ready):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        parent = os.getppid()
        while not os.path.exists(stop) and os.getppid() == parent:
            for _ in range(100):
                try:
                    one.sendto(b"x", ("127.0.0.1", PORT))
                except OSError:
                    pass   # nobody at this moment

    stop = os.path.join(public_folder(), "stop")
    ending = inside(ns, receiver)
    ending.ready()
    sending = inside(ns, sender)
    ending()
    with open(stop, "w", encoding="utf-8"):
        pass
    sending()

    def unended():
        ids = {a: {get(e, "flow.id") for e in watch.all(is_flow(a))} for a in ("open", "close")}
        return ids["open"] - ids["close"]
    wait_for(lambda: len(watch.all(is_flow("open"))) >= n - 10 and not unended(), 20,
             f"an end of each conversation; {len(unended())} have none")
    watch.stop()


main()
