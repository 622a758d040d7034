#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Equal addresses and ports in several namespaces at once, and one after the other as fast as the
host can: no conversation is taken for another, and none is lost."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

PORT, CLIENT_PORT = 7000, 40000
N_PAIRS = 3


def twins(n):
    """@n beds with the same network."""
    beds = [Bed() for _ in range(n)]
    for bed in beds:
        for i, host in ((1, bed.a), (2, bed.b)):
            host.ns.run("ip", "address", "flush", "dev", "v0")
            host.ns.run("ip", "address", "add", f"10.9.8.{i}/24", "dev", "v0")
            host.ip4 = f"10.9.8.{i}"
    return beds


class Exchange:
    """Rounds of client processes against one server, all from one port; at a twin or on loopback."""

    def __init__(self, kind, server_ns, client_ns, ip, number, server=None):
        self.kind, self.server_ns, self.client_ns, self.ip = kind, server_ns, client_ns, ip
        self.number, self.lines, self.clients = number, [], []
        self.server = server_ns.talk(f"{kind}-server", ip=ip, port=PORT, **(server or {}))

    def start(self, **options):
        client = self.client_ns.talk(f"{self.kind}-client", ip=self.ip, port=PORT,
                                     from_port=CLIENT_PORT, **options)
        self.clients.append(client)
        return client

    def finish(self):
        lines = self.clients[-1].wait(seconds=60)
        wrong = [line for line in lines if "error" in line]
        check(not wrong, "connections that failed", wrong[:1])
        self.lines += lines

    def records(self, watch, action="close"):
        """By flow id, records of both ends joined, in the order of their start."""
        flows = {}
        for e in watch.all(self.is_mine):
            if get(e, "event.action") == action:
                flows.setdefault(get(e, "flow.id"), []).append(e)
        joined = [join_records(records) for records in flows.values()]
        return sorted(joined, key=lambda e: get(e, "event.start", ""))

    def is_mine(self, e):
        return (get(e, "network.transport") == self.kind and get(e, "destination.port") == PORT
                and self.client_ns.cookie == get(e, "source.netns.cookie"))

    def complete(self, watch):
        records = self.records(watch)
        return len(records) >= len(self.lines) and all(
            len(get(r, "flow.seen_by")) == 2 for r in records)

    def verify(self, watch, reply):
        try:
            wait_for(lambda: self.complete(watch), 10, "all closes, of both ends")
        except Failed:
            pass
        records = self.records(watch)
        same(watch.all(is_lost), [], "losses")
        same(len(records), len(self.lines), f"closes of exchange {self.number}")
        wrong, n_alone = [], 0
        for line, record in zip(self.lines, records):
            alone = get(record, "flow.seen_by") == ["source"]
            n_alone += alone
            differs = differences(record, self.expected(line, None if alone else reply))
            if differs:
                wrong.append((line["n"], differs))
        check(not wrong, f"{len(wrong)} of {len(records)} of exchange {self.number} are wrong",
              wrong[:3])
        check(n_alone <= (len(records) / 2 if self.kind == "udp" else 0),
              f"of exchange {self.number} seen at the source only", n_alone)

    def expected(self, line, reply):
        """Without @reply nothing may be known of the server: for it the datagrams of the next client
        socket belong to the same flow, and nslens was not in time to draw the line."""
        fields = {"source.bytes": line["sent"], "source.process.pid": line["pid"],
                  "source.netns.cookie": self.client_ns.cookie, "source.port": CLIENT_PORT,
                  "flow.initiator_known": True, "destination.process": None,
                  "destination.netns": None, "destination.bytes": lambda n: n in (None, 9)}
        if reply is not None:
            fields.update({"destination.bytes": reply, "destination.process.pid": self.server.pid,
                           "destination.netns.cookie": self.server_ns.cookie})
            del fields["destination.process"], fields["destination.netns"]
        return fields


def exchanges(kind, beds, loops, server):
    made = [Exchange(kind, bed.b.ns, bed.a.ns, bed.b.ip4, i, server)
            for i, bed in enumerate(beds)]
    return made + [Exchange(kind, ns, ns, "127.0.0.1", len(beds) + i, server)
                   for i, ns in enumerate(loops)]


def run_rounds(all_of, n_rounds, **options):
    for _ in range(n_rounds):
        for i, exchange in enumerate(all_of):
            exchange.start(**{k: v(i) if callable(v) else v for k, v in options.items()})
        for exchange in all_of:
            exchange.finish()


def check_totals(watch):
    end_without_loss(watch)


@test("TCP: one 5-tuple in five namespaces at once, thousands of times, reset and reused at once")
def _():
    beds, loops = twins(N_PAIRS), [Namespace(), Namespace()]
    watch = Observe(near=[*beds, *loops])
    n = volume(400)
    all_of = exchanges("tcp", beds, loops, {"count": 3 * n, "send": 9})
    run_rounds(all_of, 3, count=n, send=lambda i: 1000 * (i + 1), step=7, recv=9, close="rst")
    for exchange in all_of:
        exchange.verify(watch, 9)
    check_totals(watch)


@test("UDP: one 5-tuple in five namespaces at once, thousands of times, from new sockets")
def _():
    beds, loops = twins(N_PAIRS), [Namespace(), Namespace()]
    watch = Observe(near=[*beds, *loops])
    n = volume(400)
    all_of = exchanges("udp", beds, loops, {"count": 3 * n, "reply": 9})
    run_rounds(all_of, 3, sockets=n, count=1, sizes=lambda i: 100 * (i + 1), step=1, reply=9)
    for exchange in all_of:
        exchange.verify(watch, 9)
    check_totals(watch)


@test("UDP: new sockets at both ends, the same datagrams in all namespaces at once")
def _():
    beds, loops = twins(N_PAIRS), [Namespace(), Namespace()]
    watch = Observe(near=[*beds, *loops])
    for _ in range(volume(8)):
        all_of = exchanges("udp", beds, loops, {"count": 10, "reply": 9})
        run_rounds(all_of, 1, sockets=1, count=10, sizes=50, reply=9)
        for exchange in all_of:
            exchange.server.wait()
            wait_for(lambda exchange=exchange: any(
                get(e, "source.process.pid") == exchange.clients[0].pid
                for e in watch.all(exchange.is_mine) if get(e, "event.action") == "close"),
                10, "the close")
            mine = [r for r in exchange.records(watch)
                    if get(r, "source.process.pid") == exchange.clients[0].pid]
            same(len(mine), 1, "closes")
            expect(mine[0], {
                "source.bytes": 500, "destination.bytes": 90,
                "destination.process.pid": exchange.server.pid,
                "destination.netns.cookie": exchange.server_ns.cookie}, "the close")
    check_totals(watch)


@test("namespaces that come and go, with the same addresses and ports")
def _():
    watch = Observe()
    for i in range(volume(12)):
        ns = Namespace()
        watch.cookies = {ns.cookie}
        exchange = Exchange("tcp", ns, ns, "127.0.0.1", i, {"count": 20, "send": 9})
        run_rounds([exchange], 1, count=20, send=500 + i, step=3, recv=9, close="rst")
        exchange.server.wait()
        ns.delete()
        exchange.verify(watch, 9)
    check_totals(watch)


main()
