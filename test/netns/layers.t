#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each probe can be turned off, alone: what disappears is what it gives, the rest stays; and what status
says that each contributes and costs."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403


@once
def bed():
    one = Bed()
    one.a.ns.sysctl("net.ipv4.ping_group_range", "0 2147483647")
    return one


def probes_of(*options, measure=()):
    """The probes of an agent that began and ended with `status`, by name."""
    line = json.loads(nslens("status", "-o", "json", *measure, "--state-dir",
                             tempfile.mkdtemp(dir=state_folder())).stdout)
    return {p["name"]: p for p in line["probes"]}


@once
def all_names():
    return list(probes_of())


@once
def default_names():
    return [name for name, p in probes_of().items() if p["default"]]


class Agent:
    """A running agent with those options, and what its commands say."""

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(dir=state_folder())
        self.process = start([NSLENS, "run", "--state-dir", self.folder, *options], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        check(b"watching" in self.process.stdout.readline(), "the agent is ready")

    def status(self, *options):
        line = json.loads(nslens("status", "-o", "json", "--state-dir", self.folder, *options).stdout)
        same(schema_errors(line), [], "what the schema says of status")
        return line

    def probes(self, *options):
        return {p["name"]: p for p in self.status(*options)["probes"]}

    def text(self):
        return nslens("status", "--state-dir", self.folder).stdout

    def stop(self):
        """End it; what it said on stderr."""
        end_process(self.process)
        return self.process.stderr.read().decode()


# --- what each gives: traffic, and what was seen of it ----------------------------------------------

class Watch:
    """An agent with those options, and one `observe` of the bed's namespaces that asks it."""

    def __init__(self, *options):
        self.agent = Agent(*options)
        words = " or ".join(f"netns = {cookie}" for cookie in sorted(bed().cookies))
        process = start([NSLENS, "observe", "-o", "json", "--state-dir", self.agent.folder, words],
                        stdout=subprocess.PIPE)
        self.lines = Lines(process.stdout)
        wait_for(lambda: self.agent.status()["agent"]["clients"] >= 2, 10, "the agent has the client")

    def all(self, predicate):
        events = [json.loads(text) for _, text in list(self.lines.lines)]
        return [e for e in events if get(e, "event.dataset") == "nslens.flow" and predicate(e)]

    def seen(self, predicate, there):
        """Does an event come? Where none is expected (not @there), for less long."""
        try:
            wait_for(lambda: self.all(predicate), 20 if there else 2, "an event")
            return True
        except Failed:
            return False


def on_port(port, transport, action=None):
    return lambda e: (get(e, "destination.port") == port and get(e, "network.transport") == transport
                      and action in (None, get(e, "event.action")))


def tcp_close(watch, there):
    client, _server = bed().tcp(client={"send": 3, "recv": 0})
    return watch.seen(on_port(get(client, "remote.port"), "tcp", "close"), there)


def udp_flow(watch, there):
    server = bed().b.ns.talk("udp-server", ip=bed().b.ip4, count=1)
    bed().a.ns.talk("udp-client", ip=bed().b.ip4, port=server.port).wait()
    server.wait()
    return watch.seen(on_port(server.port, "udp"), there)


def worker_named(watch, there):
    """A worker serves what its parent listens for: is it named while it does?"""
    actor = bed().b.ns.start(sys.executable, os.path.join(ROOT, "test/lib/actor.py"), "prefork",
                             json.dumps({"ip": bed().b.ip4, "workers": 1, "count": 1}),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ready = json.loads(actor.stdout.readline())
    port = ready["local"]["port"]
    client = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=port, send=5, recv=5, pause="close")
    client.expect("paused")
    named = watch.seen(lambda e: on_port(port, "tcp")(e) and get(e, "destination.process.pid")
                       not in (None, ready["pid"]), there)
    client.go()
    client.wait()
    return named


SILENT = """import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
s.bind((sys.argv[1], 0))
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""


def silent():
    """A process with a bound UDP socket that it never uses, with little room; and its port."""
    process = bed().b.ns.start(sys.executable, "-c", SILENT, bed().b.ip4, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    return process, int(process.stdout.readline())


def binder_named(watch, there):
    process, port = silent()
    bed().a.ns.talk("udp-client", ip=bed().b.ip4, port=port).wait()
    return watch.seen(lambda e: on_port(port, "udp")(e)
                      and get(e, "destination.process.pid") == process.pid, there)


def refusals_counted(watch, there):
    """Of 100 datagrams, more than the socket has room for: are those that it has counted apart?"""
    _process, port = silent()
    bed().a.ns.talk("udp-client", ip=bed().b.ip4, port=port, count=100, sizes="1000").wait()

    def all_sent():
        return watch.all(lambda e: on_port(port, "udp")(e) and get(e, "source.packets") == 100
                         and get(e, "flow.seen_by") == ["source", "destination"])
    wait_for(all_sent, 20, "what was sent, and received")
    return any(get(e, "destination.received_packets") < 100 for e in all_sent())


def new_cgroup_counted(watch, there):
    """Is a record made of a new cgroup?"""
    mounts = run("findmnt", "-n", "-o", "TARGET", "-t", "cgroup2").stdout.split()
    if not mounts:
        skip("no cgroup2 is mounted")
    before = watch.agent.probes()["process"].get("records", 0)
    folder = os.path.join(mounts[0], f"nslens-{token()}")
    os.mkdir(folder)
    os.rmdir(folder)
    try:
        wait_for(lambda: watch.agent.probes()["process"].get("records", 0) >= before + 2,
                 5 if there else 0.5, "records")
        return True
    except Failed:
        return False


def counted_by(layer):
    """Is a raw socket's packet, which no other probe looks at, counted at that layer?"""
    def shows(watch, there):
        raw = "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)\n" \
              "s.sendto(bytes(100), (sys.argv[1], 0))\n"
        bed().a.ns.run(sys.executable, "-c", raw, bed().b.ip4)
        return any(get(row, "netns.cookie") == bed().a.ns.cookie and row["layer"] == layer
                   and row["class"] == "other_ip" and row["direction"] == "sent"
                   for row in watch.agent.status()["layers"]["places"])
    return shows


def largest_rtt(watch, there):
    client, _server = bed().tcp(client={"send": 30000, "recv": 0})
    port = get(client, "remote.port")
    if not watch.seen(on_port(port, "tcp", "close"), True):
        return False
    close = watch.all(on_port(port, "tcp", "close"))[-1]
    largest = get(close, "flow.max_srtt_ns")
    return largest is not None and check(largest >= get(close, "flow.srtt_ns"), "the largest", close)


FRAME = """import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("v0", 0x0800))
own = s.getsockname()[4]
s.send(b"\\xff" * 6 + own + bytes.fromhex("0800" "4500001c00004000401100000a000001" "0a000002") +
       struct.pack("!HHHH", 9, int(sys.argv[1]), 8, 0))
"""


def passing_seen(watch, there):
    """Is what no socket of addresses has a conversation, by the devices that it passed?"""
    bed().a.ns.run(sys.executable, "-c", FRAME, "4321")
    return watch.seen(lambda e: on_port(4321, "udp")(e) and get(e, "flow.unit") == "wire", there)


SHOWS = {"tcp": tcp_close, "io": worker_named, "dgram": udp_flow, "sock": binder_named,
         "refused": refusals_counted, "process": new_cgroup_counted, "sockops": largest_rtt, "l3": counted_by("l3"),
         "device": counted_by("device"),
         "devflow": passing_seen}
NEEDS = {"io": "tcp", "sockops": "tcp", "sock": "dgram", "refused": "dgram"}  # shown by what that probe tells


def check_without(off):
    watch = Watch("--with", "all", "--device-flows", "kind=veth", *(("--without", off) if off else ()))
    for name, shows in SHOWS.items():
        there = off != name
        if not off or off != NEEDS.get(name):
            same(shows(watch, there), there, f"is what {name} gives there?")
    watch.agent.stop()


@test("with all, what each gives is there")
def _():
    same(list(SHOWS), all_names(), "each has its traffic")
    check_without(None)


for _name in SHOWS:
    test(f"without {_name}, what it gives is not there, what the others give is")(
        lambda name=_name: check_without(name))


# --- the options ------------------------------------------------------------------------------------

@test("--help says of each probe whether it is on by default and what it gives; so does status")
def _():
    for command in ("run", "observe"):
        text = nslens(command, "--help").stdout
        rows = re.findall(r"^  (\w+) +(on|off|run) +(\S.*)$", text, re.M)
        same([row[0] for row in rows], all_names(), "names in the help")
        same([row[0] for row in rows if row[1] == "on"], default_names(), "those that are on")
        same([row[0] for row in rows if row[1] == "run"], ["device"], "those that are on in the agent")
        gives = {name: p["gives"] for name, p in probes_of().items()}
        same({row[0]: row[2] for row in rows}, gives, "what each gives")


@test("a wrong name: one line that lists those that there are")
def _():
    for command in ("run", "observe"):
        for option, value in (("--with", "nonsense"), ("--without", "tcp,nonsense"), ("--without", "io,")):
            p = nslens(command, option, value)
            same((p.returncode, p.stdout, p.stderr.count("\n")), (2, "", 1), "status, output, lines")
            for word in (option, *all_names()):
                check(word in p.stderr, f"it says {word}", p.stderr)


@test("each alone: off, it loads and runs nothing; the others are there as before")
def _():
    for name in all_names():
        agent = Agent("--with", "all", "--without", name)
        probes = agent.probes()
        states = {n: p["state"] for n, p in probes.items()}
        same(states.pop(name), "off", f"the state of {name}")
        same(set(states.values()), {"attached"}, f"states of the others without {name}: {states}")
        check(re.search(rf"^ +{name} +off: \S", agent.text(), re.M), f"the text says so of {name}",
              agent.text())
        same({"records", "figures", "runs"} & probes[name].keys(), set(), f"figures of {name}")
        same(agent.stop(), "", f"what it said without {name}")


@test("with all: all are there; the default set: those that --help says; without all: none")
def _():
    for options, want in ((("--with", "all"), all_names()), ((), [*default_names(), "device"]),
                          (("--without", "all"), []),
                          (("--without", "all", "--with", "tcp"), [])):
        agent = Agent(*options)
        same([n for n, p in agent.probes().items() if p["state"] == "attached"], want, f"with {options}")
        same(agent.stop(), "", f"what it said with {options}")


main()
