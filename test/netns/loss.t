#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Losses: counted, shown in the stream where they happened, and over when their cause is."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403


@once
def bed():
    return Bed()


def lost_records(watch, reason):
    return sum(get(e, "lost.records") for e in watch.all(is_lost)
               if get(e, "lost.reason") == reason)


def start_burst(n):
    """n short connections, as fast as they go, on their way."""
    server = bed().b.ns.talk("tcp-server", ip=bed().b.ip4, send=2, count=n)
    client = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=server.port, send=1, recv=2, count=n)
    return client, server


def burst(n):
    """The same to their end; the client's 'done' lines."""
    client, server = start_burst(n)
    lines = client.wait(seconds=60)
    server.wait(seconds=60)
    return lines


def hold(n):
    """n connections that wait for go() on both ends to close."""
    servers = [bed().b.ns.talk("tcp-server", ip=bed().b.ip4) for _ in range(n)]
    clients = [bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=server.port, send=5, recv=0,
                               pause="close") for server in servers]
    for client in clients:
        client.expect("paused")
    return clients, servers


def unended(watch, lines):
    """Of the conversations of the clients' @lines: the ids that had an open and have no close."""
    ports = {ports_of(line) for line in lines}

    def ids(action):
        return {get(e, "flow.id") for e in watch.all(
            lambda e: get(e, "event.action") == action
            and (get(e, "source.port"), get(e, "destination.port")) in ports)}
    return ids("open") - ids("close")


def is_exact(watch, line):
    """Did the close of a conversation of burst() come, and is it right?"""
    try:
        return not differences(watch.conversation(line, seconds=1), {
            "source.bytes": 1, "destination.bytes": 2, "flow.reason": "fin"})
    except Failed:
        return False


@test("a ring that is too small: lost records are counted and told, and then all is exact again")
def _():
    watch = Observe(near=[bed()], options=["--ring-size", "8192"])
    clients, servers = hold(15)
    lines = [client.expect("paused") for client in clients]
    watch.wait(lambda e: get(e, "event.action") == "open" and by_ports(lines[-1])(e))
    busy = start_burst(1500)
    for client in clients:
        client.go()
    for talk in (*clients, *servers, *busy):
        talk.wait(seconds=60)

    def is_full():
        return lost_records(watch, "ring_full") or (burst(1500) and None)
    wait_for(is_full, 20, "a loss")
    wait_for(lambda: not unended(watch, lines), 10, "a close of each conversation that was opened")
    closes = watch.all(lambda e: any(by_ports(line, "close")(e) for line in lines))
    wrong = [e for e in closes if get(e, "source.bytes") not in (5, None)]
    same(wrong[:1], [], "what was lost is absent, the rest is right")
    wait_for(lambda: is_exact(watch, burst(1)[0]), 20, "an exact conversation after the loss")
    told = lost_records(watch, "ring_full")
    totals = watch.stop()
    told_in_all = sum(get(e, "lost.records") for e in watch.all(is_lost))
    check(told > 0, "records told as lost", told)
    same(get(totals, "totals.lost"), told_in_all, "lost in the totals, and as told on the way")


@test("more sockets than there is room for: counted, and no connection suffers")
def _():
    watch = Observe(near=[bed()], options=["--max-sockets", "64"])
    clients, servers = hold(40)
    watch.wait(lambda e: is_lost(e) and get(e, "lost.reason") == "tcp_map_full", what="a loss")
    for client in clients:
        client.go()
    for client, server in zip(clients, servers):
        same((client.wait()[0]["sent"], server.wait()[0]["received"]), (5, 5), "bytes both ends")
    wait_for(lambda: is_exact(watch, burst(1)[0]), 20, "an exact conversation after the loss")
    watch.stop()


@test("more datagram flows than there is room for: counted, and no datagram suffers")
def _():
    watch = Observe(near=[bed()], options=["--max-sockets", "64"])
    n = 200
    server = bed().b.ns.talk("udp-server", ip=bed().b.ip4, count=n, reply=3, pause="close")
    watch.process.send_signal(signal.SIGSTOP)  # else it makes room, if the host is slow
    client = bed().a.ns.talk("udp-client", ip=bed().b.ip4, port=server.port, sockets=n, reply=3)
    same(sum(line["received"] for line in client.wait(seconds=60)), 3 * n, "bytes answered")
    watch.process.send_signal(signal.SIGCONT)
    watch.wait(lambda e: is_lost(e) and get(e, "lost.reason") == "dgram_map_full", what="a loss")
    server.expect("paused")
    server.go()
    server.wait()
    watch.stop()


main()
