#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""nslens namespaces: every network namespace is listed, also those that nobody lives in; births and
deaths are told within 100 ms; nslens keeps none alive.
"""
import os
import socket
import statistics
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

LIMIT_MS = 100
MANY = 1000

# Holds namespaces in the ways that its argument says; tells their cookies and inodes as JSON lines,
# with the time of birth. Each line of its input makes it go on; at the end of the input it ends.
HOLDER = r"""
import ctypes, json, os, resource, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
NEWNET, NEWNS, COOKIE, BIND, PRIVATE = 0x40000000, 0x20000, 71, 4096, 0x44000
home = os.open("/proc/self/ns/net", os.O_RDONLY)
kept = []

def must(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def enter_new():
    must(libc.unshare(NEWNET))
    born_ns = time.time_ns()
    with socket.socket() as s:
        cookie = int.from_bytes(s.getsockopt(socket.SOL_SOCKET, COOKIE, 8), sys.byteorder)
    return {"cookie": cookie, "inode": os.stat("/proc/self/ns/net").st_ino, "born_ns": born_ns}

def go_home():
    must(libc.setns(home, NEWNET))

def say(line):
    print(json.dumps(line), flush=True)

def by_descriptor():
    ns = enter_new()
    kept.append(os.open("/proc/self/ns/net", os.O_RDONLY))
    go_home()
    return ns

def by_socket():
    ns = enter_new()
    kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    go_home()
    return ns

def by_mount(path):
    must(libc.unshare(NEWNS))
    must(libc.mount(None, b"/", None, PRIVATE, None))
    ns = enter_new()
    open(path, "w").close()
    must(libc.mount(b"/proc/self/ns/net", path.encode(), None, BIND, None))
    go_home()
    return ns

def one_after_another(n):
    for _ in range(n):
        sys.stdin.readline()
        say(enter_new())
        sys.stdin.readline()
        go_home()

def many(n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for _ in range(n):
        ns = enter_new()
        kept.append(os.open("/proc/self/ns/net", os.O_RDONLY))
        say({**ns, "fd": kept[-1]})
    go_home()
    say({"all": True})
    sys.stdin.readline()
    for fd in kept:
        os.close(fd)
    say({"none": True})

how, *args = sys.argv[1:]
if how in ("descriptor", "socket", "mount"):
    say({"descriptor": by_descriptor, "socket": by_socket, "mount": by_mount}[how](*args))
elif how == "turns":
    one_after_another(int(args[0]))
elif how == "many":
    many(int(args[0]))
sys.stdin.read()
"""


class Holder:
    """A running HOLDER."""

    def __init__(self, *args):
        self.process = start([sys.executable, "-c", HOLDER, *map(str, args)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._out = Lines(self.process.stdout)

    def line(self, n, seconds=10):
        """Its n-th line, from 0."""
        wait_for(lambda: len(self._out.lines) > n or self._out.ended, seconds, "the holder")
        if len(self._out.lines) <= n:
            raise Failed("the holder failed")
        return json.loads(self._out.lines[n][1])

    def lines(self):
        return [json.loads(text) for _, text in self._out.lines]

    def go(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()


class Watch:
    """A running `nslens namespaces --watch -o json`, its list printed."""

    def __init__(self, *args):
        self.process = start([NSLENS, "namespaces", "--watch", "-o", "json", *args],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        self._out = Lines(self.process.stdout)
        self._n_read, self._changes = 0, {}
        wait_for(lambda: self._out.lines or self._out.ended, 10, "the list")
        if self.process.poll() is not None:
            raise Failed("it ended: " + self.process.stderr.read().decode())

    def _take(self):
        lines = self._out.lines
        while self._n_read < len(lines):
            arrival, text = lines[self._n_read]
            self._n_read += 1
            line = json.loads(text)
            key = get(line, "event.action", "listed"), get(line, "netns.cookie")
            self._changes.setdefault(key, (arrival, line))

    def find(self, action, cookie):
        """(arrival in ns of CLOCK_REALTIME, line) or None."""
        self._take()
        return self._changes.get((action, cookie))

    def open_namespaces(self):
        """The descriptors of namespaces that it has."""
        folder = f"/proc/{self.process.pid}/fd"
        links = []
        for fd in os.listdir(folder):
            try:
                links.append(os.readlink(f"{folder}/{fd}"))
            except FileNotFoundError:
                pass
        return [link for link in links if link.startswith("net:")]

    def _stopped(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as f:
            return f.read().rpartition(")")[2].split()[0] == "T"

    def pause(self):
        """Stop it where it has no namespace open: it has one for a moment when it gives it an id."""
        def paused():
            self.process.send_signal(signal.SIGSTOP)
            wait_for(self._stopped, 5, "it is stopped")
            if not self.open_namespaces():
                return True
            self.process.send_signal(signal.SIGCONT)
            return False
        wait_for(paused, 10, "it has no namespace open")

    def wait(self, action, cookie, seconds=5):
        return wait_for(lambda: self.find(action, cookie), seconds, f"{action} of {cookie}")


def namespaces(*args):
    """What nslens lists now, by cookie."""
    p = nslens("namespaces", "-o", "json", *args)
    same((p.returncode, p.stderr), (0, ""), "status and errors of nslens namespaces")
    lines = [json.loads(text) for text in p.stdout.splitlines()]
    for line in lines:
        check(not schema_errors(line), "the schema", schema_errors(line))
    return {line["netns"]["cookie"]: line for line in lines}


def nsid_of(path):
    """The id that a namespace has as seen from this one, -1: none (RTM_GETNSID with NETNSA_FD)."""
    fd = os.open(path, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as s:
            s.send(struct.pack("=IHHII4xHHi", 28, 90, 1, 1, 0, 8, 3, fd))
            reply = s.recv(4096)
    finally:
        os.close(fd)
    check(struct.unpack_from("=IH", reply)[1] == 88, "RTM_NEWNSID comes back", reply)
    return struct.unpack_from("=HHi", reply, 20)[2]


CLONE_NEWNET = 0x40000000


class Deaths:
    """The kernel's own word that a namespace left its list: RTM_DELNSID. Said in a namespace apart, for an id there:
    nslens doesn't hear it, and need not have given the namespace an id."""

    def __init__(self):
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        same(libc.unshare(CLONE_NEWNET), 0, "unshare")
        try:
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        finally:
            same(libc.setns(home, CLONE_NEWNET), 0, "setns")
            os.close(home)
        cleanup(self.socket.close)
        self.socket.bind((0, 1 << 27))     # RTNLGRP_NSID, 28, as a bit
        self.socket.settimeout(10 * FACTOR)

    def _until(self, kind):
        while True:
            data = self.socket.recv(65536)
            if struct.unpack_from("=IH", data)[1] == kind:
                return data

    def follow(self, pid):
        """Give the namespace of process @pid an id: RTM_NEWNSID with NETNSA_PID and NETNSA_NSID."""
        self.socket.send(struct.pack("=IHHII4xHHIHHi", 36, 88, 5, 1, 0, 8, 2, pid, 8, 1, -1))
        same(struct.unpack_from("=i", self._until(2), 16)[0], 0, "answer of the kernel")

    def wait(self):
        """The time at which the next one is told, in ns of CLOCK_REALTIME."""
        self._until(89)     # RTM_DELNSID
        return time.time_ns()



@test("the initial namespace is the first, and held by the kernel")
def _():
    with socket.socket() as s:
        cookie = int.from_bytes(s.getsockopt(socket.SOL_SOCKET, 71, 8), sys.byteorder)
    listed = namespaces()
    own = listed[cookie]
    same(next(iter(listed)), cookie, "the first cookie")
    same(own["netns"]["inode"], os.stat("/proc/self/ns/net").st_ino, "its inode")
    check({"kernel", "process"} <= set(own["held_by"]), "how it is held", own["held_by"])
    check(own["processes"] > 10, "processes", own["processes"])


@test("a namespace with nothing but a name is listed with it, and as held by its mount")
def _():
    ns = Namespace(True)
    expect(namespaces()[ns.cookie], {
        "netns.inode": ns.inode, "netns.name": ns.name, "netns.names": [ns.name],
        "processes": 0, "held_by": ["mount"], "process": None, "dying": None,
    }, "the named one")


@test("a name that is another's, by a second mount at a path, comes behind the plain one")
def _():
    ns = Namespace(True)
    path = os.path.join(state_folder(), "a second\tname")
    open(path, "w").close()
    run("mount", "--bind", ns.path, path)
    cleanup(lambda: run("umount", path))
    expect(namespaces()[ns.cookie], {"netns.names": [ns.name, path]}, "both names")
    text = nslens("namespaces", f"netns={ns.name}").stdout
    check(f"{ns.name}, {path}".replace("\t", "?") in text, "no control characters in text", text)


@test("a mount in another mount namespace than ours is found")
def _():
    path = os.path.join(state_folder(), "elsewhere")
    holder = Holder("mount", path)
    ns = holder.line(0)
    check(os.stat(path).st_ino != ns["inode"], "the mount is not seen from here")
    expect(namespaces()[ns["cookie"]], {
        "netns.inode": ns["inode"], "netns.name": path, "processes": 0, "held_by": ["mount"],
    }, "the one that is bound elsewhere")


@test("processes are counted, a thread group once")
def _():
    ns = Namespace()
    for _ in range(3):
        Talk(ns.enter(TALK, "hold"))
    line = namespaces()[ns.cookie]
    expect(line, {"netns.name": None, "processes": 4}, "four processes")
    check("process" in line["held_by"], "how it is held", line["held_by"])
    same(line["process"], {"pid": ns.holder.pid, "name": "talk"}, "the first process")


@test("an anonymous namespace is listed that nothing but a descriptor or a socket holds")
def _():
    for how in ("descriptor", "socket"):
        holder = Holder(how)
        ns = holder.line(0)
        expect(namespaces()[ns["cookie"]], {
            "netns.inode": ns["inode"], "netns.name": None, "processes": 0, "held_by": [how],
            "process.pid": holder.process.pid,
        }, f"held by a {how}")


@test("text is aligned, and the filter chooses")
def _():
    ns, other = Namespace(True), Namespace(True)
    text = nslens("namespaces", "netns=nslens-*").stdout
    head, *rows = [line for line in text.splitlines() if line and ":" not in line]
    mine = [row for row in rows if row.split()[0] in (ns.name, other.name)]
    same(len(mine), 2, "two rows")
    same({row.index("mount") for row in mine}, {head.index("HELD BY")}, "the column of HELD BY")
    for word in (ns.name, ns.inode, ns.cookie):
        same(set(namespaces(f"netns={word}")), {ns.cookie}, f"netns={word}")
    same(namespaces("netns=nslens-no-such-name"), {}, "a filter that nothing matches")


def diagnose(what, took_ms):
    print(f"# {what}: median {statistics.median(took_ms):.1f} ms, most {max(took_ms):.1f} ms "
          f"of {len(took_ms)}", flush=True)


@test("births and deaths are told within 100 ms")
def _():
    watch, deaths, n = Watch(), Deaths(), volume(20)
    holder = Holder("turns", n)
    births_ms, deaths_ms = [], []
    for i in range(n):
        holder.go()
        ns = holder.line(i)
        arrival, line = watch.wait("born", ns["cookie"])
        births_ms.append((arrival - ns["born_ns"]) / 1e6)
        same(line["netns"]["inode"], ns["inode"], "the inode of the born")
        deaths.follow(holder.process.pid)
        holder.go()
        left_ns = deaths.wait()
        arrival, line = watch.wait("died", ns["cookie"])
        deaths_ms.append((arrival - left_ns) / 1e6)
    diagnose("from birth to its line", births_ms)
    diagnose("from leaving the kernel's list to its line", deaths_ms)
    for what, took_ms in (("born", births_ms), ("died", deaths_ms)):
        late = [ms for ms in took_ms if ms > LIMIT_MS * FACTOR]
        check(not late, f"{what}: later than {LIMIT_MS * FACTOR:g} ms", late)


@test("a name is told when it is given, and a death with the name that was")
def _():
    watch = Watch()
    ns = Namespace(True)
    _, line = watch.wait("named", ns.cookie)
    expect(line, {"netns.name": ns.name, "event.type": ["change"]}, "named")
    ns.delete()
    _, line = watch.wait("died", ns.cookie)
    expect(line, {"netns.name": ns.name, "event.type": ["end"]}, "died")
    end_process(watch.process)
    same(watch.process.returncode, 0, "status after SIGTERM")


@test("a closed pipe ends --watch quietly")
def _():
    with tempfile.TemporaryFile() as errors:
        p = start([NSLENS, "namespaces", "--watch", "-o", "json"], stdout=subprocess.PIPE,
                  stderr=errors)
        p.stdout.readline()
        p.stdout.close()
        wait_for(lambda: Namespace() and p.poll() is not None, 10, "its end at the next change")
        errors.seek(0)
        same((p.returncode, errors.read()), (0, b""), "status and errors")


@test("a thousand come and go while it runs, and it keeps none of them")
def _():
    watch = Watch()
    holder = Holder("many", MANY)
    wait_for(lambda: holder.lines() and holder.lines()[-1].get("all"), 60, "a thousand are born")
    cookies = {line["cookie"] for line in holder.lines()[:-1]}
    same(len(cookies), MANY, "cookies")
    last = holder.lines()[-2]
    watch.wait("born", last["cookie"])
    missing = [c for c in cookies if not watch.find("born", c)]
    check(not missing, "all births are told", len(missing))
    same(len(cookies & set(namespaces())), MANY, "of them in the list")
    holder.go()
    wait_for(lambda: all(watch.find("died", c) for c in cookies), 60, "a thousand died")
    same(cookies & set(namespaces()), set(), "of them in the kernel's list, walked again")
    wait_for(lambda: not watch.open_namespaces(), 5, "no namespace is left open")


@test("what it was not told while it was stopped, it finds by looking")
def _():
    watch, n = Watch(), volume(3000)       # more than the ring of births and its netlink socket hold
    watch.pause()
    holder = Holder("many", n)
    wait_for(lambda: holder.lines() and holder.lines()[-1].get("all"), 60, "they are born")
    cookies = {line["cookie"] for line in holder.lines()[:-1]}
    watch.process.send_signal(signal.SIGCONT)
    wait_for(lambda: all(watch.find("born", c) for c in cookies), 30, "all births are told")
    last = f"/proc/{holder.process.pid}/fd/{holder.lines()[-2]['fd']}"
    wait_for(lambda: nsid_of(last) >= 0, 30, "the last one has an id, so that its death is told")
    watch.pause()
    holder.go()
    wait_for(lambda: not cookies & set(namespaces()), 60, "they are gone")
    watch.process.send_signal(signal.SIGCONT)
    wait_for(lambda: all(watch.find("died", c) for c in cookies), 30, "all deaths are told")


@test("without the privileges it says which, in one line")
def _():
    p = run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", NSLENS,
            "namespaces", check_status=False)
    same((p.returncode, p.stdout, p.stderr.count("\n")), (1, "", 1), "status, output, error lines")
    for word in ("CAP_BPF", "CAP_PERFMON", "root"):
        check(word in p.stderr, f"{word} in the error", p.stderr)


@test("without BTF it says so, in one line")
def _():
    hide = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\""
    p = run("unshare", "-m", "sh", "-c", hide, "sh", NSLENS, "namespaces", check_status=False)
    same((p.returncode, p.stdout, p.stderr.count("\n")), (1, "", 1), "status, output, error lines")
    check("BTF" in p.stderr, "BTF in the error", p.stderr)


@test("a wrong option or filter is wrong usage; a full disk is a failure")
def _():
    for args in (["--no-such-option"], ["-o", "xml"], ["port=80"], ["netns="]):
        p = nslens("namespaces", *args)
        same((p.returncode, p.stdout, p.stderr.count("\n")), (2, "", 1), f"{args}")
    with open("/dev/full", "w", encoding="utf-8") as full:
        p = subprocess.run([NSLENS, "namespaces"], stdout=full, stderr=subprocess.PIPE,
                           env=environment(), check=False)
    same((p.returncode, p.stderr.count(b"\n")), (1, 1), "a full disk")


@test("a closed pipe ends it quietly")
def _():
    out, pipe = os.pipe()
    process = start([NSLENS, "namespaces", "--watch"], stdout=pipe, stderr=subprocess.PIPE,
                    env=environment())
    os.close(pipe)
    check(os.read(out, 1 << 16).startswith(b"NAME"), "the list")
    os.close(out)
    Namespace(True)
    wait_for(lambda: process.poll() is not None, 10, "its end")
    same(process.stderr.read(), b"", "errors")


main()
