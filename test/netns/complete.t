#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Never missed: eight clients at the highest rate that they reach, in namespaces that live only as long
as their conversations; and an agent that is stopped in the middle of it."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from storms import *  # noqa: E402,F403

WATCHED = SECONDS or 1.5
STOPPED = (10 if SECONDS else 1.5) * FACTOR
RATE = 4000 / FACTOR        # conversations a second, before and after the stop


def everything(kind):
    """As fast as it goes, without nslens and with it."""
    bare = Conversations(kind, WATCHED / 3).end()
    tally = Tally()
    storm = Conversations(kind, WATCHED)
    before = cpu_seconds(tally.pid)
    storm.end()
    cpu = (cpu_seconds(tally.pid) - before) / storm.n
    told = tally.end(storm)
    say(f"{kind}: {bare.rate:,.0f} a second without nslens; with it {storm.rate:,.0f}, "
        f"{storm.n:,} in {storm.n_namespaces:,} namespaces, {told['lost']} lost, "
        f"{storm.verdict['whole']:,} whole ({storm.verdict['apart']:,} by two lines); {cpu * 1e6:.1f} us of CPU each")
    same(told["losses"], {}, "losses")
    check_whole(storm, "reported at both ends with pid, executable, namespace")


@test("TCP that ends with FIN: all, at both ends, with pid, executable and namespace, 0 lost")
def _():
    everything("fin")


@test("TCP that ends with RST: the same")
def _():
    everything("rst")


@test("UDP, a request and its answer from fresh sockets: the same")
def _():
    everything("udp")


@test("the agent is stopped for a while: what is lost is counted to the record, the rest is whole")
def _():
    agent = Agent()
    tally = Tally()
    before = Conversations("fin", 0.5, each=100, rate=RATE).end()
    agent.rest()
    paths = "pipeline.records", "lost.by_reason.ring_full"
    records, lost = (get(agent.status(), path) for path in paths)
    during = Conversations("fin", STOPPED + 1, each=1000, rate=2 * RATE)
    wait_for(lambda: get(agent.status(), "pipeline.records") > records, 10, "a load")
    agent.stop()
    time.sleep(STOPPED)
    agent.go_on()
    during.end()
    agent.rest()
    status = agent.status()
    after = Conversations("fin", 0.5, each=100, rate=RATE).end()
    agent.rest()
    told = tally.end(before, during, after)
    check_whole(before, "before the stop")
    check_whole(after, "after it")
    check(during.verdict["missing"] > 0, "there was a loss", during.verdict)
    # The close of two ends; a listener comes and goes. The opens are told alone of those that are open for
    # a while, and where the list of these is full; who it is, of each process.
    written = 2 * during.n + 2 * during.n_namespaces
    seen = sum(get(status, path) for path in paths) - records - lost
    say(f"stopped for {STOPPED:g} s at {during.rate:,.0f} a second: {during.n:,} conversations, "
        f"{during.verdict['whole']:,} whole, {told['losses']} lost; {written:,} records written at least, "
        f"{seen:,} read or counted as lost")
    check(written <= seen, "none is lost that is not counted", (written, seen))
    check(2 * during.verdict["missing"] <= told["losses"]["ring_full"], "nor of those that are missing",
          (during.verdict, told["losses"]))
    others = 10 * during.n_namespaces + 2000 * (STOPPED + 2)     # of other processes on the host
    check(seen <= written + 2 * during.n + others, "nor is any counted twice", (written, seen))


main()
