#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who stands behind a conversation: the process, its user, parent, cgroup and container."""
import base64
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


@once
def bed():
    return Bed()


@once
def observe():
    return Observe(near=[bed()])


def one_byte(server=None, client=None):
    """A conversation of one byte; the client's 'done' line, and both Talks."""
    observe()
    s = bed().b.ns.talk("tcp-server", ip=bed().b.ip4, **(server or {}))
    c = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=s.port, send=1, recv=0, **(client or {}))
    line = c.wait(status=None)[0]
    s.wait(status=None)
    return line, c, s


def start_ticks(pid):
    """When the process began, in ticks of 10 ms since boot."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return int(f.read().rsplit(")", 1)[1].split()[19])


@test("both ends: pid, start, entity id, executable, arguments, user, parent")
def _():
    observe()
    s = bed().b.ns.talk("tcp-server", ip=bed().b.ip4)
    c = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=s.port, send=1, recv=0, pause="connected")
    c.expect("paused")
    ticks = {side: start_ticks(talk.pid) for side, talk in (("source", c), ("destination", s))}
    boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    c.go()
    event = observe().conversation(c.wait()[0])
    s.wait()
    for side, talk in (("source", c), ("destination", s)):
        expect(event[side], {
            "process.pid": talk.pid, "process.pid_in_namespace": talk.pid, "process.name": "talk",
            "process.executable": os.path.realpath(TALK), "process.user.id": "0",
            "process.args": talk.argv[talk.argv.index(TALK):],
            "process.parent.pid": os.getpid(),
            "process.parent.executable": os.path.realpath("/proc/self/exe"),
            "process.parent.entity_id": known, "opened_by": None, "container": None,
        }, f"the {side}")
        node, start_ns, pid = base64.b64decode(
            get(event, side + ".process.entity_id")).decode().rsplit(":", 2)
        same((node, int(pid)), (get(event, "host.name"), talk.pid), "the entity id's node and pid")
        same(int(start_ns) // 10**7, ticks[side], "the entity id's start, in ticks")
        off = time_ns(get(event, side + ".process.start")) - boot_ns - int(start_ns)
        check(abs(off) < 10**9, "process.start, ns from the entity id's", off)


@test("in a pid namespace: the host's pid, and the namespace's")
def _():
    observe()
    s = bed().b.ns.talk("tcp-server", ip=bed().b.ip4)
    c = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=s.port, send=1, recv=0,
                        pause="connected", wrap=["unshare", "-p", "-f", "--kill-child"])
    c.expect("paused")
    with open(f"/proc/{c.process.pid}/task/{c.process.pid}/children", encoding="ascii") as f:
        host_pid = int(f.read())
    c.go()
    event = observe().conversation(c.wait()[0])
    s.wait()
    expect(event, {"source.process.pid": host_pid, "source.process.pid_in_namespace": 1,
                   "source.process.parent.pid": c.process.pid}, "the source")
    same(c.pid, 1, "pid, as the process itself sees it")


@test("another user")
def _():
    folder = public_folder()
    shutil.copy(TALK, folder)
    observe()
    s = bed().b.ns.talk("tcp-server", ip=bed().b.ip4)
    argv = bed().a.ns.enter(*NOBODY, f"{folder}/talk", "tcp-client", "--ip", bed().b.ip4, "--port",
                            str(s.port), "--send", "1", "--recv", "0")
    c = Talk(argv)
    event = observe().conversation(c.wait()[0])
    s.wait()
    expect(event, {"source.process.user.id": "65534", "destination.process.user.id": "0",
                   "source.process.executable": f"{folder}/talk"}, "the close")


@test("arguments that look like secrets are redacted, the rest of the line stays")
def _():
    secret = "s3cr3t-" + token()
    line, _c, _s = one_byte(client={"password": secret, "from_port": 0})
    event = observe().conversation(line)
    args = get(event, "source.process.args", [])
    check("--password" in args and "tcp-client" in args, "the names of arguments are there", args)
    check(secret not in json.dumps(event), "the secret is not", args)


@test("--no-args: no arguments at all")
def _():
    watch = Observe(near=[bed()], options=["--no-args"])
    s = bed().b.ns.talk("tcp-server", ip=bed().b.ip4)
    c = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=s.port, send=1, recv=0)
    event = watch.conversation(c.wait()[0])
    expect(event, {"source.process.pid": c.pid, "source.process.args": None,
                   "destination.process.args": None, "source.process.executable": known,
                   }, "the close")
    watch.stop()


def cgroup2():
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            fields, kind = line.split(" - ")
            if kind.split()[0] == "cgroup2" and fields.split()[3] == "/":
                return fields.split()[4]
    return skip("no cgroup2 is mounted")


def make_cgroup(path):
    """Make a cgroup and those above it; taken down when the test ends. Returns its folder."""
    folder = cgroup2()
    for part in path.strip("/").split("/"):
        folder = os.path.join(folder, part)
        if not os.path.exists(folder):
            os.mkdir(folder)
            cleanup(lambda folder=folder: wait_for(lambda: removed(folder), 5, f"rmdir {folder}"))
    return folder


def removed(folder):
    try:
        os.rmdir(folder)
    except OSError:
        return False
    return True


@test("the cgroup's path, and the container id that stands in it, at both ends")
def _():
    ids = {side: os.urandom(32).hex() for side in ("source", "destination")}
    paths = {"source": f"/nslens-{token()}/docker/{ids['source']}",
             "destination": f"/nslens-{token()}/cri-containerd-{ids['destination']}.scope"}
    folders = {side: make_cgroup(path) for side, path in paths.items()}

    def enter(side):
        def prepare():
            with open(os.path.join(folders[side], "cgroup.procs"), "w", encoding="ascii") as f:
                f.write(str(os.getpid()))
        return prepare
    line, _c, _s = one_byte({"prepare": enter("destination")}, {"prepare": enter("source")})
    event = observe().conversation(line)
    expect(event, {f"{side}.{key}": value[side] for side in ids
                   for key, value in (("process.cgroup", paths), ("container.id", ids))},
           "the close")


@test("a server that forks: the child is the process, the listener opened it")
def _():
    line, _c, s = one_byte({"fork": True})
    event = observe().conversation(line)
    child = s.said("done")[0]["pid"]
    check(child != s.pid, "it forked")
    expect(event, {"destination.process.pid": child, "destination.opened_by.pid": s.pid,
                   "destination.process.parent.pid": s.pid, "source.opened_by": None}, "the close")


@test("MPTCP: its subflows belong to the processes, not to the worker that ends them")
def _():
    if not os.path.exists("/proc/sys/net/mptcp/enabled"):
        skip("this kernel has no MPTCP")
    line, c, s = one_byte({"mptcp": True, "fork": True}, {"mptcp": True})
    event = observe().conversation(line)
    expect(event, {"source.process.pid": c.pid, "flow.accepted": True,
                   "destination.process.pid": s.said("done")[0]["pid"],
                   "destination.opened_by.pid": s.pid, "source.bytes": between(1, 100)},
           "the close")


@test("processes that live for a moment are known in full")
def _():
    observe()
    n = volume(20)
    s = bed().b.ns.talk("tcp-server", ip=bed().b.ip4, count=n)
    argv = " ".join(talk_args("tcp-client", {"ip": bed().b.ip4, "port": s.port, "send": 1,
                                             "recv": 0}))
    shell = f"for i in $(seq {n}); do {argv} --chunk $((i + 1)); done"
    out = bed().a.ns.run("sh", "-c", shell).stdout
    s.wait()
    lines = [o for o in map(json.loads, out.splitlines()) if o["event"] == "done"]
    same(len(lines), n, "conversations")
    for i, line in enumerate(lines):
        expect(observe().conversation(line), {
            "source.process.pid": line["pid"], "source.process.executable": os.path.realpath(TALK),
            "source.process.args": (argv + f" --chunk {i + 2}").split(),
            "source.process.parent.executable": os.path.realpath("/bin/sh"),
        }, f"conversation {i}")


@test("a process that execs: the image that used the socket")
def _():
    observe()
    s = bed().b.ns.talk("tcp-server", ip=bed().b.ip4)
    argv = bed().a.ns.enter("sh", "-c", 'exec "$@"', "sh", *talk_args(
        "tcp-client", {"ip": bed().b.ip4, "port": s.port, "send": 1, "recv": 0}))
    c = Talk(argv)
    event = observe().conversation(c.wait()[0])
    s.wait()
    expect(event, {"source.process.executable": os.path.realpath(TALK), "source.process.pid": c.pid,
                   "source.process.args": lambda a: a and re.search("talk$", a[0])}, "the source")


@test("a server older than nslens is known by what /proc says")
def _():
    s = bed().b.ns.talk("tcp-server", ip=bed().b.ip4)
    watch = Observe(near=[bed()])
    c = bed().a.ns.talk("tcp-client", ip=bed().b.ip4, port=s.port, send=1, recv=0)
    event = watch.conversation(c.wait()[0])
    s.wait()
    expect(event, {
        "destination.process.pid": s.pid, "destination.process.user.id": "0",
        "destination.process.executable": os.path.realpath(TALK),
        "destination.process.args": s.argv[s.argv.index(TALK):],
        "destination.process.parent.pid": os.getpid()}, "the destination")
    watch.stop()


@test("all lines fit the schema, and nothing was lost")
def _():
    end_without_loss(observe())


main()
