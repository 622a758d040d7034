#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""nslens sockets: every socket of every namespace, with its owners, as ss in the namespace has it."""
import json
import os
import re
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

# A program that runs Python from its argument, says what it has to say as JSON, and then waits.
APP = """
import ctypes, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def listener(family=socket.AF_INET, ip="127.0.0.1", port=0, backlog=16):
    s = socket.socket(family)
    s.bind((ip, port))
    s.listen(backlog)
    return s
def pair(server):
    c = socket.socket(server.family)
    c.connect(server.getsockname())
    return c, server.accept()[0]
def unshare_netns():
    if libc.unshare(0x40000000):
        raise OSError(ctypes.get_errno(), "unshare")
said = {}
exec(sys.argv[1])
print(json.dumps({"pid": os.getpid(), **said}), flush=True)
sys.stdin.read()
"""


class App:
    """APP running @code in @namespace; what it said is in its attributes."""

    def __init__(self, code, namespace=None):
        argv = [sys.executable, "-c", APP, code]
        self.process = start(namespace.enter(*argv) if namespace else argv, text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            raise Failed("the program with the sockets ended")
        self.__dict__.update(json.loads(line))


def sockets(*words, status=0):
    p = nslens("sockets", "-o", "json", *words)
    same((p.returncode, p.stderr), (status, ""), "status and errors of nslens sockets")
    rows = [json.loads(line) for line in p.stdout.splitlines()]
    errors = [e for row in rows for e in schema_errors(row)]
    check(not errors, "lines fit the schema", errors[:3])
    return rows


def sockets_in(namespace, *words):
    return [r for r in sockets(*words) if get(r, "source.netns.cookie") == namespace.cookie]


def one(rows, text):
    if len(rows) != 1:
        raise Failed(f"{text}: got {len(rows)} sockets, expected one: {rows}")
    return rows[0]


def by_port(rows, port, state="listen"):
    return one([r for r in rows if get(r, "source.port") == port
                and get(r, "socket.state") == state], f"port {port}, {state}")


# --- ss, the independent tool ----------------------------------------------------------------------

SS_STATES = {"LISTEN": "listen", "ESTAB": "established", "UNCONN": "unconnected",
             "TIME-WAIT": "time_wait", "CLOSE-WAIT": "close_wait", "FIN-WAIT-1": "fin_wait1",
             "FIN-WAIT-2": "fin_wait2", "LAST-ACK": "last_ack", "SYN-SENT": "syn_sent",
             "SYN-RECV": "syn_received"}


def ss_end(text):
    """ADDRESS[%DEVICE]:PORT as (address, port); unknown ones as None."""
    ip, port = text.rsplit(":", 1)
    ip = ip.strip("[]").split("%")[0]
    ip = re.sub("^::ffff:", "", ip.strip("[]"))
    return "::" if ip == "*" else ip, int(port) if port != "*" else None


def ss_sockets(namespace):
    """Raw ones are asked for apart, without a name of their kind, which differs with where ss has them from."""
    lines = namespace.run("ss", "-H", "-tuanOp").stdout.splitlines()
    lines += ["raw " + line for line in namespace.run("ss", "-H", "-wanOp").stdout.splitlines()]
    found = []
    for line in lines:
        kind, state, rx, tx, local, peer, *rest = line.split()
        pids = sorted({int(p) for p in re.findall(r"pid=(\d+)", " ".join(rest))})
        ends = (ss_end(local), ss_end(peer))
        if kind == "raw":
            ends = ((ends[0][0], None), (ends[1][0], None))
        found.append((kind, SS_STATES[state], *ends, int(rx), int(tx), tuple(pids)))
    return sorted(found, key=repr)


def as_ss(row):
    """A row of nslens in the form of ss_sockets()."""
    kind = "raw" if get(row, "socket.type") == "raw" else get(row, "network.transport")
    local = (get(row, "source.ip"), get(row, "source.port"))
    any_ip = "::" if get(row, "network.type") == "ipv6" else "0.0.0.0"
    peer = (get(row, "destination.ip", any_ip), get(row, "destination.port"))
    rx, tx = (get(row, "socket." + key, get(row, "socket." + other, 0)) for key, other in
              (("rx_queue_bytes", "accept_queue"), ("tx_queue_bytes", "accept_queue_max")))
    pids = [get(row, "source.process.pid")] if get(row, "socket.owner_count") else []
    pids = [o["pid"] for o in get(row, "socket.owners", [])] or pids
    return (kind, get(row, "socket.state"), local, peer, rx, tx, tuple(sorted(pids)))


# --- the tests -------------------------------------------------------------------------------------

EVERY_KIND = """
S = [listener(backlog=7), listener(socket.AF_INET6, "::1"), listener(socket.AF_INET6, "::")]
only = socket.socket(socket.AF_INET6)
only.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
only.bind(("::", 0)); only.listen(3)
P = [*pair(S[0]), *pair(S[1])]
mapped = socket.socket(socket.AF_INET6)
mapped.connect(("::ffff:127.0.0.1", S[2].getsockname()[1])); P += [mapped, S[2].accept()[0]]
P[0].send(b"x" * 1000)
U = [socket.socket(f, socket.SOCK_DGRAM) for f in (socket.AF_INET, socket.AF_INET6, socket.AF_INET)]
U[0].bind(("127.0.0.1", 0)); U[1].bind(("::", 0)); U[2].connect(U[0].getsockname())
U[2].send(b"y" * 100)
R = [socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
     socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58),
     socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)]
said["port"], said["v6_port"], said["any_port"], said["only_port"] = (
    s.getsockname()[1] for s in (*S, only))
said["udp"] = U[0].getsockname()[1]
said["client"] = P[0].getsockname()[1]
"""


@test("TCP, UDP and raw, IPv4 and IPv6, are what ss in the namespace says, with the same owners")
def _():
    ns = Namespace(True)
    app = App(EVERY_KIND, ns)
    rows = sockets_in(ns)
    ours = sorted(map(as_ss, rows), key=repr)
    theirs = ss_sockets(ns)
    same([r for r in ours if r not in theirs], [], "only nslens has")
    same([r for r in theirs if r not in ours], [], "only ss has")
    same(len(ours), len(theirs), "number of sockets")
    check(len(theirs) >= 16, "ss found them all", theirs)
    for row in rows:
        expect(row, {"source.process.pid": app.pid, "source.netns.name": ns.name,
                     "source.netns.inode": ns.inode, "socket.owner_count": 1,
                     "event.dataset": "nslens.socket", "event.kind": "state", "user.id": "0",
                     "user.name": "root", "source.process.name": known,
                     "source.process.start": known}, "who and where")
    expect(by_port(rows, app.any_port), {"socket.ipv6_only": False}, "a listener for both")
    expect(by_port(rows, app.only_port), {"socket.ipv6_only": True}, "a listener for IPv6 only")
    expect(by_port(rows, app.client, "established"), {
        "destination.port": app.port, "destination.ip": "127.0.0.1"}, "the client's end")
    raw = {get(r, "network.transport") for r in rows if get(r, "socket.type") == "raw"}
    same(raw, {"icmp", "ipv6-icmp", "gre"}, "protocols of the raw sockets")


@test("ICMP sockets have their identifier, and no port")
def _():
    ns = Namespace()
    ns.sysctl("net.ipv4.ping_group_range", "0 0")
    App("""
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
s.bind(("127.0.0.1", 77))
""", ns)
    row = one(sockets_in(ns), "sockets of the namespace")
    expect(row, {"network.transport": "icmp", "network.iana_number": "1", "socket.icmp_id": 77,
                 "socket.type": "datagram", "socket.state": "unconnected",
                 "source.ip": "127.0.0.1", "source.port": None}, "the ICMP socket")


@test("a namespace that nothing but a socket holds, of a process that lives elsewhere")
def _():
    home = os.stat("/proc/self/ns/net").st_ino
    app = App("""
home = os.open("/proc/self/ns/net", os.O_RDONLY)
unshare_netns()
s = socket.socket()
s.bind(("0.0.0.0", 8080)); s.listen(5)
said["inode"] = os.stat("/proc/self/ns/net").st_ino
if libc.setns(home, 0): raise OSError("setns")
os.close(home)
""")
    row = one([r for r in sockets("local.port=8080") if get(r, "source.netns.inode") == app.inode],
              "port 8080 in the namespace")
    check(app.inode != home, "it is another namespace")
    expect(row, {"source.process.pid": app.pid, "socket.state": "listen",
                 "socket.accept_queue": 0, "socket.accept_queue_max": 5}, "the listener")


@test("a socket that processes share is one, with all its owners counted")
def _():
    ns = Namespace()
    app = App("""
s = listener()
d = s.dup()
said["children"] = []
for _ in range(5):
    pid = os.fork()
    if not pid:
        sys.stdin.read()
        os._exit(0)
    said["children"].append(pid)
""", ns)
    row = one(sockets_in(ns), "sockets of the namespace")
    expect(row, {"socket.owner_count": 6, "socket.descriptor_count": 12}, "the shared listener")
    pids = [o["pid"] for o in get(row, "socket.owners", [])]
    same(pids, [app.pid, *app.children][:4], "the first owners")
    for child in app.children:
        check(one(sockets_in(ns, f"pid={app.pid}"), "by the parent") is not None, "found")
        break
    app.process.stdin.close()
    app.process.wait(10)


@test("sockets that no process has: unaccepted, orphaned, TIME_WAIT, in flight")
def _():
    ns = Namespace()
    app = App("""
import array
s = listener()
queued = socket.socket(); queued.connect(s.getsockname())
other = listener()
waiting, passive = pair(other)
said["time_wait"] = waiting.getsockname()[1]
waiting.close(); passive.close()
orphan, kept = pair(other)
said["orphan"] = orphan.getsockname()[1]
orphan.close()
a, b = socket.socketpair()
flying = listener()
said["flying"] = flying.getsockname()[1]
socket.send_fds(a, [b"x"], [flying.fileno()])
flying.close()
said["port"], said["queued"] = s.getsockname()[1], queued.getsockname()[1]
""", ns)
    rows = sockets_in(ns)
    expect(by_port(rows, app.port), {"socket.accept_queue": 1, "socket.owner_count": 1}, "queue")
    nobody = {"source.process": None, "socket.owner_count": 0, "socket.descriptor_count": None}
    expect(by_port(rows, app.port, "established"), {
        **nobody, "socket.unowned": "unaccepted", "destination.port": app.queued}, "unaccepted")
    expect(by_port(rows, app.time_wait, "time_wait"), {
        **nobody, "socket.unowned": "orphaned", "socket.rx_queue_bytes": None,
        "user": None}, "TIME_WAIT")
    expect(by_port(rows, app.orphan, "fin_wait2"), {**nobody, "socket.unowned": "orphaned"},
           "closed by its process only")
    expect(by_port(rows, app.flying), {**nobody, "socket.unowned": "no_descriptor"}, "in flight")
    close_wait = one([r for r in rows if get(r, "socket.state") == "close_wait"], "close_wait")
    expect(close_wait, {"source.process.pid": app.pid, "socket.unowned": None}, "the kept end")


@test("a socket bound to a device names it")
def _():
    ns = Namespace()
    app = App("""
s = listener(ip="0.0.0.0"); t = socket.socket()
t.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo"); t.bind(("0.0.0.0", 0)); t.listen()
said["port"], said["free"] = t.getsockname()[1], s.getsockname()[1]
""", ns)
    rows = sockets_in(ns)
    expect(by_port(rows, app.port), {"socket.device.name": "lo", "socket.device.ifindex": 1}, "lo")
    expect(by_port(rows, app.free), {"socket.device": None}, "not bound")
    same(len(sockets_in(ns, "device=lo")), 1, "sockets with device=lo")
    text = nslens("sockets", f"local.port={app.port}").stdout
    check(f"0.0.0.0%lo:{app.port}" in text, "the text has it", text)


@test("filters choose by port, side, namespace, process, pid, user, transport and address")
def _():
    ns, other = Namespace(True), Namespace(True)
    app = App(EVERY_KIND, ns)
    twin = App(f"s = listener(port={app.port})\nu = socket.socket(type=socket.SOCK_DGRAM)\n"
               "u.bind(('127.0.0.2', 99))", other)
    rows = sockets(f"port={app.port} and transport=tcp")
    same({get(r, "source.netns.name") for r in rows}, {ns.name, other.name}, "by port")
    same(len(rows), 4, "sockets with that port: two listeners, two ends")
    rows = sockets(f"local.port={app.port}", "and", f"netns={other.name}")
    same([get(r, "source.process.pid") for r in rows], [twin.pid], "by port and namespace")
    same(len(sockets(f"netns={other.inode}")), 2, "by inode")
    same(len(sockets(f"netns={other.cookie}")), 2, "by cookie")
    same(len(sockets(f"pid={twin.pid}")), 2, "by pid")
    same(len(sockets(f"pid={twin.pid} and process=python3*")), 2, "by process")
    same(len(sockets(f"pid={twin.pid} and uid=0")), 2, "by user")
    same(len(sockets(f"pid={twin.pid} and not uid=0")), 0, "by another user")
    same([get(r, "source.port") for r in sockets(f"pid={twin.pid} and transport=udp")], [99], "udp")
    same(len(sockets(f"pid={twin.pid} and ip=127.0.0.2")), 1, "by address")
    same(len(sockets(f"pid={app.pid} and peer.ip=127.0.0.0/8")), 5, "by the peer's prefix")
    same(len(sockets(f"netns={ns.name} and transport=icmp")), 2, "raw sockets of ICMP")


@test("the table: headings, listeners first and by port, names, a row a socket")
def _():
    ns = Namespace(True)
    app = App(EVERY_KIND, ns)
    p = nslens("sockets", f"netns={ns.name}")
    same((p.returncode, p.stderr), (0, ""), "status and errors")
    head, *lines = p.stdout.splitlines()
    same(head.split(), "STATE TRANSPORT LOCAL PEER NETNS PROCESS USER QUEUE".split(), "headings")
    same(len(lines), len(sockets_in(ns)), "rows")
    cells = [dict(zip(head.split(), re.split(r"  +", line))) for line in lines]
    listens = [c["STATE"] == "listen" or (c["STATE"] == "unconnected" and c["TRANSPORT"] == "udp")
               for c in cells]
    same(listens, sorted(listens, reverse=True), "those that listen are first")
    ports = [int(c["LOCAL"].rsplit(":", 1)[1]) for c, yes in zip(cells, listens) if yes]
    same(ports, sorted(ports), "they are sorted by port")
    row = next(c for c in cells if c["LOCAL"] == f"127.0.0.1:{app.port}" and c["STATE"] == "listen")
    same(row["QUEUE"], "0 of 7 waiting", "the queue")
    same((row["NETNS"], row["USER"]), (ns.name, "root"), "namespace and user")
    check(re.fullmatch(rf"python3\S*\[{app.pid}\]", row["PROCESS"]), "the process", row["PROCESS"])
    locals_ = {c["LOCAL"] for c in cells}
    check(f"*:{app.any_port}" in locals_ and f"[::]:{app.only_port}" in locals_, "any address",
          locals_)
    check(any(c["QUEUE"] == "1000 B unread" for c in cells), "unread bytes", p.stdout)


@test("thousands of sockets in well under the time that anybody waits")
def _():
    ns = Namespace()
    n = volume(2000)
    App(f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (min(20000, resource.getrlimit(1)[1]),) * 2)
s = listener(backlog=4096)
P = [pair(s) for _ in range({n})]
""".replace("getrlimit(1)", "getrlimit(resource.RLIMIT_NOFILE)"), ns)
    began = time.monotonic()
    p = nslens("sockets", "-o", "json", f"netns={ns.inode}")
    took = time.monotonic() - began
    same(p.stdout.count("\n"), 2 * n + 1, "sockets")
    check(took < 2 * FACTOR, "in time", f"{took:.2f} s")
    print(f"# {2 * n + 1} sockets as JSON in {took:.2f} s", flush=True)


@test("while connections come and go, none that has an owner seems to have none")
def _():
    ns = Namespace()
    App("""
import threading
def churn():
    while True:
        c, a = pair(s)
        a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0")
        a.close()
        c.close()
s = listener(backlog=4096)
threading.Thread(target=churn, daemon=True).start()
""", ns)
    seen = 0
    for _ in range(volume(20)):
        rows = sockets_in(ns)
        seen += len(rows)
        bad = [r for r in rows if get(r, "socket.unowned") == "no_descriptor"]
        check(not bad, "sockets that a process must have", bad[:1])
    check(seen > volume(20), "connections were seen", seen)


@test("in another pid namespace it says that owners are missing")
def _():
    p = run("unshare", "--pid", "--fork", "--mount-proc", NSLENS, "sockets", "port=1",
            env=environment())
    check("pid namespace" in p.stderr and p.stderr.count("\n") == 1, "what it says", p.stderr)


@test("wrong input is one line, and nothing is listed")
def _():
    for words, says in ((["portt=1"], "portt"), (["port=x"], "column"), (["-o", "xml"], "xml"),
                        (["--frobnicate"], "frobnicate"), (["port=1", "and"], "column")):
        p = nslens("sockets", *words)
        same((p.returncode, p.stdout, p.stderr.count("\n")), (2, "", 1), f"{words}")
        check(p.stderr.startswith("nslens sockets: ") and says in p.stderr, "what it says", p.stderr)


@test("without privileges: one line that names the capabilities that are missing")
def _():
    p = run("setpriv", "--reuid", "65534", "--clear-groups", NSLENS, "sockets", check_status=False,
            env=environment())
    same((p.returncode, p.stdout, p.stderr.count("\n")), (1, "", 1), "status, output, lines")
    check("CAP_BPF" in p.stderr and "CAP_PERFMON" in p.stderr, "what it says", p.stderr)


@test("a closed pipe ends it quietly, a full disk does not")
def _():
    reader, writer = os.pipe()
    os.close(reader)
    p = subprocess.run([NSLENS, "sockets"], stdout=writer, stderr=subprocess.PIPE, timeout=20,
                       env=environment())
    os.close(writer)
    same((p.returncode, p.stderr), (0, b""), "status and errors with nobody at the pipe")
    with open("/dev/full", "wb") as full:
        p = subprocess.run([NSLENS, "sockets"], stdout=full, stderr=subprocess.PIPE, timeout=20,
                           env=environment())
    same(p.returncode, 1, "status with a full disk")
    check(b"No space left" in p.stderr, "what it says", p.stderr)


@test("no namespace is kept alive: one that is deleted after the list was made is gone")
def _():
    ns = Namespace(True)
    app = App("s = listener()", ns)
    same(len(sockets_in(ns)), 1, "sockets while it lives")
    end_process(app.process)
    ns.delete()

    def gone():
        p = nslens("namespaces", "-o", "json")
        return p.returncode == 0 and str(ns.cookie) not in {
            str(get(json.loads(line), "netns.cookie")) for line in p.stdout.splitlines()}
    wait_for(gone, 10, "the namespace is gone")


main()
