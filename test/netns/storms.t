#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Storms: memory stays bounded, every loss is counted, the agent lives and is right afterwards.
doc/storms.md has the bounds, and figures of a full run."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from storms import *  # noqa: E402,F403

SOCKETS = os.path.join(BUILD, "test/bench/sockets")
BLOWS = SECONDS or 1.5
MIB = 1 << 20


class Watch:
    """An agent in a storm, and the most memory that it took."""

    def __init__(self, *options):
        self.agent = Agent(*options)
        self.most = self.most_maps = 0
        self.look()
        self.at_rest = self.most
        self._cpu = cpu_seconds(self.agent.pid), time.monotonic()

    def look(self):
        """True as long as it lives."""
        status = self.agent.status()
        self.most = max(self.most, self.agent.resident_bytes())
        self.most_maps = max(self.most_maps, get(status, "agent.kernel_map_bytes"))
        return self.agent.alive()

    def through(self, storm, seconds):
        """Look on until the storm is over; its last line."""
        def over():
            return not self.look() or storm.process.poll() is not None
        wait_for(over, BLOWS + seconds, "the storm's end")
        return storm.end(1)

    def is_right(self):
        """After the storm: every conversation is reported, whole, and nothing more is lost."""
        self.agent.rest()
        tally = Tally()
        storm = Conversations("fin", 0.3, each=50, rate=1000 / FACTOR).end()
        self.agent.rest()
        same(tally.end(storm)["losses"], {}, "losses after the storm")
        check_whole(storm, "reported after the storm")
        self.look()

    def tell(self, what):
        cpu, since = self._cpu
        cores = (cpu_seconds(self.agent.pid) - cpu) / (time.monotonic() - since)
        say(f"{what}; agent {cores:.2f} cores, {self.at_rest / MIB:.1f} to {self.most / MIB:.1f} MiB, "
            f"kernel's maps up to {self.most_maps / MIB:.1f} MiB, lost {self.agent.lost()}")

    def within(self, mib, maps_mib):
        check(self.most <= mib * MIB, f"resident memory within {mib} MiB", self.most / MIB)
        check(self.most_maps <= maps_mib * MIB, f"maps within {maps_mib} MiB", self.most_maps / MIB)


def open_sockets(n):
    """Connections on loopback of a namespace of their own, two sockets each, by several processes."""
    namespace = Namespace()
    share = 16000
    processes = [start(namespace.enter(SOCKETS, str(min(share, n - at) // 2), str(9100 + at // share)),
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE) for at in range(0, n, share)]
    for process in processes:
        same(process.stdout.readline(), b"ready\n", "sockets are open")
    return processes


@test("many open sockets: all are known, memory is bounded, and is given back")
def _():
    n = 100000 if SECONDS else 10000
    watch = Watch()
    before = get(watch.agent.status(), "conversations.open")
    processes = open_sockets(n)
    wait_for(lambda: watch.look() and get(watch.agent.status(), "conversations.open") - before >= n // 2,
             20, "all conversations are known")
    watch.tell(f"{n:,} sockets")
    watch.within(90, 90)
    for process in processes:
        end_process(process)
    wait_for(lambda: watch.look() and get(watch.agent.status(), "conversations.open") < n // 10, 20,
             "all conversations are over")
    same(watch.agent.lost(), {}, "losses")
    watch.is_right()


@test("many namespaces: memory is bounded, and the agent is right with all of them there")
def _():
    n = 10000 if SECONDS else 200
    watch = Watch()
    storm = Storm("namespaces", n)
    wait_for(lambda: watch.look() and storm.lines(), 600 if SECONDS else 30, "all namespaces are there")
    wait_for(lambda: get(watch.agent.status(), "namespaces.total") > n, 60, "all namespaces are known")
    cpu = cpu_seconds(watch.agent.pid)
    watch.is_right()
    watch.tell(f"{n:,} namespaces in {storm.lines()[0]['seconds']} s, "
               f"{cpu:.1f} s of CPU of the agent until then")
    storm.process.stdin.close()
    storm.end(300 if SECONDS else 30)
    wait_for(lambda: get(watch.agent.status(), "namespaces.total") < n, 300, "namespaces died")
    watch.within(60, 20)


@test("fork and exec as fast as all CPUs can: memory is bounded, every process that talks is known")
def _():
    watch = Watch()
    storm = Storm("exec", BLOWS, os.cpu_count(), "talk")
    line = watch.through(storm, 30)
    watch.tell(f"exec: {line['processes'] / line['seconds']:,.0f} processes a second, each with a "
               f"conversation, {line['processes']:,} in all")
    same(watch.agent.lost(), {}, "losses")
    watch.is_right()
    watch.within(60, 20)


def flows(each, what):
    """Datagrams, each a flow of its own, in a namespace where both ends are seen."""
    watch = Watch()
    tally = Tally()
    storm = Storm("flows", BLOWS, 50000 / FACTOR, each)
    line = watch.through(storm, 30)
    watch.agent.rest()
    told = tally.end()
    watch.tell(f"flows: {line['flows'] / line['seconds']:,.0f} a second, {line['flows']:,} in all, {what}; "
               f"{told['ends']:,} ends told of, {told['losses']}")
    lost = watch.agent.lost()
    same(set(lost) - {"dgram_map_full", "owner_map_full"}, set(), "other losses than of room in the maps")
    unread = told["losses"].get("reader_slow", 0)   # events, of one end or of both
    counted = told["ends"] + lost.get("dgram_map_full", 0)
    check(2 * line["flows"] - 2 * unread <= counted <= 2 * line["flows"] + 20000,    # others talk, too
          "ends of flows that were told of or counted as lost", (counted, 2 * line["flows"], unread))
    watch.is_right()
    watch.within(90, 90)


@test("50,000 UDP flows a second of one socket: bounded, what is not told is counted")
def _():
    flows(1 << 40, "of one socket")


@test("50,000 UDP flows a second of sockets that close: the same")
def _():
    flows(256, "256 a socket")


main()
