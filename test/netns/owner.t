#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The right owner, also where sockets pass from one process to another: process is the last that did
I/O on the socket or closed it, opened_by who connected or listened, where that is another."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

ACTOR = os.path.join(ROOT, "test/lib/actor.py")
URING = os.path.join(BUILD, "test/lib/uring")
SHELL = os.path.realpath("/bin/sh")


@once
def bed():
    return Bed()


@once
def observe():
    return Observe(near=[bed()])


def actor(host, role, **arguments):
    """A running role of actor.py in @host's namespace."""
    return Talk(host.ns.enter(sys.executable, ACTOR, role, json.dumps(arguments)))


def talk_server(**options):
    return bed().b.ns.talk("tcp-server", ip=bed().b.ip4, **options)


def talk_client(port, **options):
    return bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=port, **options)


def turned(line):
    """A server's line as its client would have written it."""
    return {"local": line["remote"], "remote": line["local"]}


def owner(side, pid, opened_by=None, **more):
    """What a record must say of a side."""
    return {f"{side}.process.pid": pid, f"{side}.opened_by.pid": opened_by,
            **{f"{side}.{key}": value for key, value in more.items()}}


PYTHON = os.path.realpath(sys.executable)


@test("pre-forked workers that share a listener: who served it, opened by the parent")
def _():
    observe()
    server = actor(bed().b, "prefork", ip=bed().b.ip4, workers=3, count=3)
    talk_client(server.port, count=9, send=5, recv=5).wait()
    server.wait()
    served = server.said("served")
    same(len({line["pid"] for line in served}), 3, "workers that served")
    for line in served:
        expect(observe().conversation(turned(line)), {
            "destination.process.parent.pid": server.pid, "source.opened_by": None,
            "destination.process.executable": PYTHON,
            "destination.opened_by.executable": PYTHON,
            **owner("destination", line["pid"], server.pid)}, "the close")


@test("an accepted socket handed to a child: first the parent's, then the child's")
def _():
    observe()
    server = actor(bed().b, "handed", ip=bed().b.ip4)
    client = talk_client(server.port, send=1, recv=0, pause="close")
    client.expect("paused")
    client.go()
    server.wait()
    line = server.said("served")[0]
    event = observe().conversation(turned(line))
    expect(event, owner("destination", line["pid"], server.pid), "the close")
    check(line["pid"] != server.pid, "a child served it")
    expect(observe().conversation(turned(line), "open"), owner("destination", server.pid),
           "the open")


@test("a connected socket passed by SCM_RIGHTS: who used it last, opened by who connected")
def _():
    observe()
    for in_flight in (False, True):
        server = talk_server()
        passed = actor(bed().a, "passed", ip=bed().b.ip4, port=server.port, in_flight=in_flight)
        passed.wait()
        server.wait()
        opened, done = passed.said("opened")[0], passed.said("done")[0]
        check(opened["pid"] != done["pid"], "two processes")
        expect(observe().conversation(done), {
            "source.bytes": 5, **owner("source", done["pid"], opened["pid"])},
            f"the close, in flight: {in_flight}")


@test("sockets that are only in flight, and collected by the kernel: still their last user's")
def _():
    observe()
    udp_server = bed().b.ns.talk("udp-server", ip=bed().b.ip4)
    server = talk_server()
    client = actor(bed().a, "collected", ip=bed().b.ip4, port=server.port, udp_port=udp_server.port)
    client.expect("paused")
    client.go()
    client.expect("paused", 2)
    server.wait()
    done = client.said("done")[0]
    expect(observe().conversation(done), owner("source", client.pid), "the TCP close")
    expect(observe().conversation(done["udp"]), owner("source", client.pid), "the UDP close")
    client.go()
    client.wait()


@test("inherited through exec: the new image, of the same process")
def _():
    observe()
    for script in ("printf 345 >&3", "printf 345 >&3; exec 3>&-; printf x"):
        server = talk_server()
        client = actor(bed().a, "becomes", ip=bed().b.ip4, port=server.port, script=script)
        client.process.wait(10)
        server.wait()
        event = observe().conversation(client.said("done")[0])
        expect(event, {
            "source.process.executable": SHELL, "source.process.args": ["sh", "-c", script],
            "source.process.name": "sh", "source.bytes": 5, **owner("source", client.pid),
            "source.opened_by": None}, "the close")


@test("an image that only ends with an inherited socket: its pid and name")
def _():
    observe()
    server = talk_server()
    client = actor(bed().a, "becomes", ip=bed().b.ip4, port=server.port, script=":")
    client.process.wait(10)
    server.wait()
    expect(observe().conversation(client.said("done")[0]), {
        "source.process.name": "sh", **owner("source", client.pid), "source.bytes": 2,
        # By then the image's memory is gone, and with it what it was: not the one before.
        "source.process.executable": lambda exe: exe in (None, SHELL)}, "the close")


@test("accepted, and given to a program by fork and exec: that program, opened by the listener")
def _():
    observe()
    server = actor(bed().b, "spawns", ip=bed().b.ip4, script="printf 345 >&3")
    talk_client(server.port).wait()
    server.process.wait(10)
    line = server.said("served")[0]
    expect(observe().conversation(turned(line)), {
        "destination.process.executable": SHELL, "destination.bytes": 3,
        "destination.opened_by.executable": PYTHON,
        **owner("destination", line["pid"], server.pid)}, "the close")


@test("threads: the process, never a thread")
def _():
    observe()
    server = talk_server(send=5, recv=5)
    client = actor(bed().a, "threads", ip=bed().b.ip4, port=server.port)
    client.wait()
    server.wait()
    done = client.said("done")[0]
    check(done["tid"] != client.pid, "another thread")
    for action in ("open", "close"):
        expect(observe().conversation(done, action), {
            **owner("source", client.pid), "source.process.executable": PYTHON}, "the " + action)


def uring(host, *args):
    try:
        return Talk(host.ns.enter(URING, *args))
    except Failed as e:
        return skip("io_uring is not to be had") if "ended with 77" in str(e) else throw(e)


def throw(error):
    raise error


@test("io_uring, inline, by its workers, by its polling thread, with fixed files: the process")
def _():
    observe()
    for mode in ("inline", "async", "sqpoll", "fixed"):
        server = uring(bed().b, "server", mode, bed().b.ip4)
        client = uring(bed().a, "client", mode, bed().b.ip4, str(server.port))
        server.process.wait(10)
        line = client.wait()[0]
        event = observe().conversation(line)
        expect(event, {
            "source.bytes": 5, "destination.bytes": 5, "source.process.executable": URING,
            "destination.process.executable": URING, "flow.accepted": True,
            "source.process.args": client.argv[-5:], "destination.process.args": server.argv[-4:],
            **owner("source", client.pid), **owner("destination", server.pid)}, mode)


@test("processes that end at once after their traffic are known in full")
def _():
    observe()
    n = volume(200)
    server = talk_server(count=n)
    argv = " ".join(talk_args("tcp-client", {"ip": bed().b.ip4, "port": server.port, "send": 1,
                                             "recv": 0}))
    shell = (f"for i in $(seq {n // 4}); do for j in 1 2 3 4; do "
             f"{argv} --chunk $((i * 4 + j)) & done; wait; done")
    out = bed().a.ns.run("sh", "-c", shell, seconds=60).stdout
    server.wait()
    lines = [o for o in map(json.loads, out.splitlines()) if o["event"] == "done"]
    same(len(lines), n // 4 * 4, "conversations")
    same(len({line["pid"] for line in lines}), len(lines), "processes")
    chunks = set()
    for line in lines:
        event = observe().conversation(line)
        args = get(event, "source.process.args", [])
        chunks.update(args[-1:])
        expect(event, {
            "source.process.executable": os.path.realpath(TALK),
            "source.process.args": lambda args: args and args[:-1] == f"{argv} --chunk".split(),
            "source.process.parent.executable": SHELL, **owner("source", line["pid"])}, "the close")
    same(len(chunks), len(lines), "different arguments")


@test("a UDP socket that several processes use in turn")
def _():
    observe()
    server = bed().b.ns.talk("udp-server", ip=bed().b.ip4, count=2, reply=4, pause="close")
    client = actor(bed().a, "turns", ip=bed().b.ip4, port=server.port)
    pids = []
    for turn in range(3):
        line = client.expect("paused", 2 * turn + 1)
        pids.append(line["pid"])
        client.go()
        line = client.expect("paused", 2 * turn + 2)
        if turn != 1:       # to receive changes no figures, so makes no update
            opened_by = client.pid if line["pid"] != client.pid else None
            observe().wait(lambda e: by_ports(line)(e) and not differences(
                e, owner("source", pids[-1], opened_by)), what=f"turn {turn}, of {pids[-1]}")
        client.go()
    server.expect("paused")
    server.go()
    server.wait()
    client.wait()
    same(len(set(pids)), 3, "processes")
    expect(observe().conversation(line), {
        "source.bytes": 6, "destination.bytes": between(4, 8), **owner("source", client.pid)},
        "the close")


@test("accepted and never touched: the listener's; closed unread: whose close it was")
def _():
    observe()
    server = actor(bed().b, "untouched", ip=bed().b.ip4, how="peer")
    client = talk_client(server.port, send=100, recv=0, close="rst", pause="close")
    client.expect("paused")
    worker = server.expect("paused")
    client.go()
    event = observe().conversation(client.wait()[0])
    check(worker["pid"] != server.pid, "a worker accepted it")
    expect(event, {"flow.accepted": True, "flow.reason": "reset", "flow.closed_by": "source",
                   "source.bytes": 100, **owner("destination", server.pid)}, "the close")
    server.go()
    server.wait()
    for how in ("close", "exit"):
        server = actor(bed().b, "untouched", ip=bed().b.ip4, how=how)
        client = talk_client(server.port, send=0, recv=0)
        line = client.wait()[0]
        server.wait()
        expect(observe().conversation(line), {
            "flow.accepted": True,
            **owner("destination", server.said("done")[0]["pid"], server.pid)}, how)


@test("SO_REUSEPORT: who served it, opened by the right listener of the group")
def _():
    observe()
    for workers in (False, True):
        server = actor(bed().b, "group", ip=bed().b.ip4, members=3, workers=workers)
        client = talk_client(server.port, count=30, send=3, recv=3)
        client.wait()
        wait_for(lambda: len(server.said("served")) == 30, 10, "all are served")
        served = server.said("served")
        check(len({line["opener"] for line in served}) > 1, "several listeners had connections")
        for line in served:
            opener = line["opener"] if workers else None
            check((line["opener"] != line["pid"]) == workers, "who opens and who serves", line)
            expect(observe().conversation(turned(line)), owner("destination", line["pid"], opener),
                   f"workers: {workers}")
        server.release()
        server.wait()


def steer(host, cpu):
    """Packets that arrive at @host are processed by @cpu, whatever runs there."""
    host.ns.run("unshare", "-m", "sh", "-c", "mount -t sysfs none /sys && "
                f"echo {1 << cpu:x} > /sys/class/net/v0/queues/rx-0/rps_cpus")


@test("what the kernel does never names the process that happened to run")
def _():
    if os.cpu_count() < 2:
        skip("needs two CPUs")
    fresh = Bed()
    watch = Observe(near=[fresh])
    for host in (fresh.a, fresh.b):
        steer(host, 0)
    spinners = [actor(fresh.a, "spin", cpu=0) for _ in range(2)]

    def elsewhere():
        os.sched_setaffinity(0, {1})
    n = min(volume(200), 250)
    udp = fresh.b.ns.talk("udp-server", ip=fresh.b.ip4, count=n, reply=7, prepare=elsewhere)
    udp_client = fresh.a.ns.talk("udp-client", ip=fresh.b.ip4, port=udp.port, sockets=n, reply=7,
                                 prepare=elsewhere)
    mine = {udp.pid, udp_client.pid}
    udp_client.wait()
    for how, count in (("fin", n), ("rst", n // 3), ("half", n // 3)):
        answer = {"send": 3, "recv": 1} if how != "half" else {"send": 3, "answer": True}
        server = fresh.b.ns.talk("tcp-server", ip=fresh.b.ip4, count=count, prepare=elsewhere,
                                 **answer)
        client = fresh.a.ns.talk("tcp-client", ip=fresh.b.ip4, port=server.port, count=count,
                                 send=1, recv=3, close=how, prepare=elsewhere)
        client.wait(seconds=40)
        server.wait()
        mine |= {server.pid, client.pid}
    refused = fresh.a.ns.talk("tcp-client", ip=fresh.b.ip4, port=9, count=20, prepare=elsewhere)
    refused.wait()
    mine.add(refused.pid)
    full = fresh.b.ns.talk("tcp-server", ip=fresh.b.ip4, no_accept=True, prepare=elsewhere)
    client = fresh.a.ns.talk("tcp-client", ip=fresh.b.ip4, port=full.port, count=20, send=1, recv=0,
                             close="rst", prepare=elsewhere)
    client.wait()
    mine |= {full.pid, client.pid}
    ends = watch.wait(lambda e: get(e, "event.action") == "close", n=2 * n, seconds=10)
    ends += watch.all(lambda e: get(e, "event.action") in ("open", "fail", "update"))
    check(len(ends) > 4 * n, "events", len(ends))
    wrong = [e for e in ends for side in ("source", "destination")
             for key in ("process.pid", "opened_by.pid")
             if get(e, f"{side}.{key}") not in mine | {None}]
    check(not wrong, f"{len(wrong)} of {len(ends)} events name a bystander", wrong[:1])
    nameless = [e for e in ends for side in get(e, "flow.seen_by", [])
                if get(e, f"{side}.process.pid") is None]
    check(not nameless, f"{len(nameless)} of {len(ends)} events name nobody", nameless[:1])
    opened_by = [e for e in ends if get(e, "source.opened_by") or get(e, "destination.opened_by")]
    check(not opened_by, "nobody opened for another", opened_by[:1])
    for spinner in spinners:
        spinner.go()
        spinner.wait()
    watch.stop()


@test("ss -K ends a connection, and does not become its owner")
def _():
    observe()
    server = talk_server(pause="connected")
    client = talk_client(server.port, pause="connected")
    server.expect("paused")
    line = client.expect("paused")
    killed = bed().a.ns.run("ss", "-K", "-H", "-t", "dport", "=", f":{server.port}",
                            check_status=False)
    if str(server.port) not in killed.stdout:
        skip("ss can't end connections here")
    server.go()
    server.wait(status=None)
    client.go()
    client.wait(status=None)
    expect(observe().conversation(line), {
        "flow.reason": "reset", **owner("source", client.pid), **owner("destination", server.pid)},
        "the close")


@test("older than nslens: adopted with their owners, also a thread's that has a table of its own")
def _():
    fresh = Bed()
    server = fresh.b.ns.talk("tcp-server", ip=fresh.b.ip4)
    client = actor(fresh.a, "own_table", ip=fresh.b.ip4, port=server.port)
    client.expect("paused")
    udp = fresh.b.ns.talk("udp-server", ip=fresh.b.ip4, reply=3)
    watch = Observe(near=[fresh])
    client.go()
    client.wait()
    server.wait()
    expect(watch.conversation(client.said("done")[0]), {
        "flow.adopted": True, "source.bytes": 5, "destination.bytes": 0, **owner("source", client.pid),
        **owner("destination", server.pid)}, "the TCP close")
    udp_client = fresh.a.ns.talk("udp-client", ip=fresh.b.ip4, port=udp.port, reply=3)
    line = udp_client.wait()[0]
    udp.wait()
    expect(watch.conversation(line), {"destination.bytes": 3, **owner("destination", udp.pid)},
           "the UDP close")
    watch.stop()


@test("older, and in no descriptor table: adopted without owner, then with who uses them")
def _():
    fresh = Bed()
    server = actor(fresh.b, "backlog", ip=fresh.b.ip4)
    clients = [fresh.a.ns.talk("tcp-client", ip=fresh.b.ip4, port=server.port, send=5, recv=5,
                               pause="close") for _ in range(2)]
    floating_server = fresh.b.ns.talk("tcp-server", ip=fresh.b.ip4)
    floating = actor(fresh.a, "floating", ip=fresh.b.ip4, port=floating_server.port)
    floating.expect("paused")
    n = 2000000
    slow = fresh.b.ns.talk("tcp-server", ip=fresh.b.ip4, pause="connected", rcvbuf=20000)
    orphan = actor(fresh.a, "orphan", ip=fresh.b.ip4, port=slow.port, n=n)
    orphan.expect("paused")
    watch = Observe(near=[fresh])
    server.go()             # accepts one, which one is not said
    floating.go()
    floating.wait()
    floating_server.wait()
    slow.go()
    slow.wait()
    line = orphan.said("done")[0]
    expect(watch.conversation(line), {
        "flow.adopted": True, "source.bytes": n, "source.process": None, "source.opened_by": None,
        "flow.reason": "fin", "flow.closed_by": "source",
        **owner("destination", slow.pid)}, "the orphan's close")
    line = floating.said("used")[0]
    expect(watch.conversation(line), {
        "flow.adopted": True, "source.bytes": 5, "source.process.pid": line["pid"],
        "source.opened_by": None, **owner("destination", floating_server.pid)}, "the floating one's")
    line = clients[0].expect("paused")
    clients[0].go()
    clients[0].wait()
    expect(watch.conversation(line), {
        "flow.adopted": True, "source.bytes": 5, "destination.bytes": 5,
        "destination.process.pid": server.pid, "flow.accepted": True,
        **owner("source", clients[0].pid)}, "the one that was accepted")
    server.expect("paused", 2)
    server.go()
    server.wait()
    end_process(clients[1].process)
    event = watch.wait(lambda e: get(e, "event.action") == "close" and get(
        e, "source.process.pid") == clients[1].pid and "destination" in get(e, "flow.seen_by"),
        what="the close of the one that was never accepted, seen by its destination")
    expect(event, {"flow.adopted": True, "flow.accepted": False, "destination.process": None,
                   "source.bytes": 5}, "the one that was never accepted")
    watch.stop()


@test("a connect() that is older than nslens: its owner, its open and its close")
def _():
    fresh = Bed()
    server = fresh.b.ns.talk("tcp-server", ip=fresh.b.ip4, count=1)
    fresh.b.ns.nft("table inet t { chain c { type filter hook input priority 0; "
                   f"tcp dport {server.port} drop; }}; }}")
    client = fresh.a.ns.talk("tcp-client", ip=fresh.b.ip4, port=server.port, send=5, recv=0)
    wait_for(lambda: f":{server.port}" in fresh.a.ns.run("ss", "-tnH", "state", "syn-sent").stdout,
             5, "the client waits for its connect()")
    watch = Observe(near=[fresh])
    fresh.b.ns.nft("delete table inet t")
    line = client.wait()[0]
    server.wait()
    expect(watch.conversation(line, "open"), owner("source", client.pid), "the open")
    expect(watch.conversation(line), {
        "flow.adopted": True, "flow.initiator_known": True, "flow.connect_ns": None,
        "source.bytes": 5, "flow.reason": "fin", "flow.closed_by": "source",
        **owner("source", client.pid), **owner("destination", server.pid)}, "the close")
    watch.stop()


@test("TCP Fast Open: what comes with the SYN, and its owner, at both ends")
def _():
    fresh = Bed()
    for host in (fresh.a, fresh.b):
        host.ns.sysctl("net.ipv4.tcp_fastopen", 0x207)
    watch = Observe(near=[fresh])
    server = actor(fresh.b, "fastopen_server", ip=fresh.b.ip4)
    client = actor(fresh.a, "fastopen_client", ip=fresh.b.ip4, port=server.port)
    client.wait()
    server.wait()
    line = client.said("done")[0]
    counters = fresh.b.ns.run("nstat", "-asz", "TcpExtTCPFastOpenPassive").stdout
    check(re.search(r"TCPFastOpenPassive +1 ", counters), "the data came with the SYN", counters)
    expect(watch.conversation(line), {
        "source.bytes": 5, "destination.bytes": 5, "flow.accepted": True,
        "flow.initiator_known": True, "flow.adopted": False, **owner("source", client.pid),
        **owner("destination", server.said("served")[0]["pid"], server.pid)}, "the close")
    watch.stop()


@test("all lines fit the schema, and nothing was lost")
def _():
    end_without_loss(observe())


main()
