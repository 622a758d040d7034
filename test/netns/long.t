#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Long conversations: updates at most once a second, only if something changed, figures cumulative;
and how soon and in what order events come."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

LATEST_MS = 200     # at the 99th percentile


@once
def bed():
    return Bed()


def check_updates(watch, line, last_change_ns, total):
    """The updates of one conversation, each end's record for itself."""
    updates = watch.all(by_ports(line, "update"))
    check(len(updates) >= 2, "updates came", len(updates))
    for side in ("source", "destination"):
        own = [e for e in updates if side in e["flow"]["seen_by"]]
        times = [time_ns(e["@timestamp"]) for e in own]
        gaps = [(b - a) / 10**9 for a, b in zip(times, times[1:])]
        check(all(gap > 0.9 for gap in gaps), f"seconds between updates of the {side}", gaps)
        sent = [get(e, "source.bytes") for e in own]
        check(sent == sorted(sent), "bytes never shrink", sent)
        check(sent and 0 < sent[0] and sent[-1] <= total, "bytes so far", sent)
        late = [t for t in times if t > last_change_ns + 1.5 * 10**9]
        same(late, [], "updates though nothing changed any more")


def quiet(watch, line, seconds):
    """Wait that long after the last change, with the observer alive: the end is a clock, not a hope."""
    end = time.time_ns() + int(seconds * 10**9)
    wait_for(lambda: time.time_ns() > end, seconds + 5)
    return watch.all(by_ports(line, "update"))


@test("TCP: updates while bytes flow, none while it is silent")
def _():
    watch = Observe(near=[bed()])
    server = bed().b.ns.talk("tcp-server", ip=bed().b.ip4)
    client = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=server.port, send=35000, chunk=1000,
                             gap_ms=100, recv=0, pause="close")
    line = client.expect("paused")
    last_change_ns = time.time_ns()
    quiet(watch, line, 3)
    client.go()
    line = client.wait()[0]
    server.wait()
    event = watch.conversation(line)
    same(get(event, "source.bytes"), 35000, "bytes at the close")
    check_updates(watch, line, last_change_ns, 35000)
    watch.stop()


@test("UDP: updates while datagrams flow, none while it is silent")
def _():
    watch = Observe(near=[bed()])
    server = bed().b.ns.talk("udp-server", ip=bed().b.ip4, count=35)
    client = bed().a.ns.talk("udp-client", ip=bed().b.ip4, port=server.port, sizes="1000", count=35,
                             gap_ms=100, pause="close")
    line = client.expect("paused")
    last_change_ns = time.time_ns()
    quiet(watch, line, 3)
    client.go()
    line = client.wait()[0]
    server.wait()
    event = watch.conversation(line)
    same(get(event, "source.bytes"), 35000, "bytes at the close")
    check_updates(watch, line, last_change_ns, 35000)
    watch.stop()


@test("conversations are shown within a second of the start")
def _():
    took = []
    for _attempt in range(3):
        begin_ns = time.time_ns()
        watch = Observe(near=[bed()])
        took.append((watch.first_ns() - begin_ns) / 10**9)
        watch.stop()
    print("# seconds to the first line:", " ".join(f"{t:.2f}" for t in took))
    check(min(took) < 1 * FACTOR, "seconds to the first line", took)


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


@test("events of a flow are in order, and come within 200 ms at the 99th percentile")
def _():
    watch = Observe(f"netns = {bed().a.ns.cookie}", near=[bed()])
    n = volume(500)
    server = bed().b.ns.talk("tcp-server", ip=bed().b.ip4, count=n)
    client = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=server.port, send=2, chunk=1,
                             gap_ms=2, recv=0, count=n)
    lines = client.wait(seconds=60)
    server.wait()
    watch.conversation(lines[-1])
    flows = {}
    for arrival, event in watch.events:
        if get(event, "event.dataset") == "nslens.flow":
            flows.setdefault(get(event, "flow.id"), []).append((arrival, event))
    same(len(flows), n, "flows")
    wrong = 0
    for events in flows.values():
        actions = [get(e, "event.action") for _, e in events]
        times = [time_ns(e["@timestamp"]) for _, e in events]
        first_close = actions.index("close") if "close" in actions else len(actions)
        wrong += set(actions[first_close:]) != {"close"} or actions[0] != "open" or any(
            times[i] > times[first_close] for i in range(first_close))
    same(wrong, 0, "flows with events out of order")
    late = [(arrival - time_ns(e["@timestamp"])) / 10**6 for events in flows.values()
            for arrival, e in events]
    print(f"# {len(late)} events, ms: median {percentile(late, 0.5):.1f}, "
          f"p99 {percentile(late, 0.99):.1f}, max {max(late):.1f}")
    check(min(late) > -5, "no event before its time, ms", min(late))
    check(percentile(late, 0.99) <= LATEST_MS * max(1, FACTOR), "ms at the 99th percentile",
          percentile(late, 0.99))
    watch.stop()


main()
