#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The agent: what it serves, and what happens when it, its clients or their surroundings go wrong."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
VERSION = run(NSLENS, "--version").stdout.split()[1]


class Agent:
    """A running `nslens run` with a state folder of its own."""

    def __init__(self, *options, wrap=(), folder=None):
        self.folder = folder or tempfile.mkdtemp(dir=state_folder())
        self.socket = os.path.join(self.folder, "agent.sock")
        self.here = ("--state-dir", self.folder)
        self.stderr = tempfile.TemporaryFile()
        self.process = start([*wrap, NSLENS, "run", *self.here, *options], stdout=subprocess.PIPE,
                             stderr=self.stderr)
        self.out = Lines(self.process.stdout)
        wait_for(lambda: self.out.lines or self.process.poll() is not None, 20, "the agent is ready")

    def errors(self):
        self.stderr.seek(0)
        return self.stderr.read().decode()

    def nslens(self, command, *args, **keywords):
        return nslens(command, *self.here, *args, **keywords)

    def status(self):
        p = self.nslens("status", "-o", "json")
        same((p.returncode, p.stderr), (0, ""), "status and errors of nslens status")
        line = json.loads(p.stdout)
        same(schema_errors(line), [], "the schema's opinion of the status")
        return line

    def observe(self, *words, **keywords):
        return Observe(*words, options=self.here, **keywords)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        same(self.process.wait(10), 0, "status of the agent; it said " + self.errors())

    def held(self):
        """Ids of the programs and links that it holds now."""
        return descriptors(self.process.pid, "prog_id"), descriptors(self.process.pid, "link_id")


def descriptors(pid, key):
    found = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fdinfo"):
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as f:
                fields = dict(line.split(":", 1) for line in f if ":" in line)
            if key in fields and not (key == "prog_id" and "link_id" in fields):
                found.add(int(fields[key]))
    except FileNotFoundError:
        pass
    return found


def ids(kind):
    return {x["id"] for x in json.loads(run("bpftool", "-j", kind, "list").stdout)}


def nothing_left(held, folder, text):
    """What counts at devices is pinned, and stays until it is detached; the rest dies with its agent."""
    programs, links = held
    wait_for(lambda: not programs & {p["id"] for p in json.loads(run("bpftool", "-j", "prog", "list").stdout)
                                     if not p.get("name", "").startswith("device_")}, 5,
             "no program stays but those at devices")
    same(nslens("detach", "--state-dir", folder).returncode, 0, "status of detach")
    wait_for(lambda: not programs & ids("prog") and not links & ids("link"), 5, text)


def one_line(p, status, *words):
    """It ended with @status, nothing on stdout, one line on stderr that has @words."""
    same((p.returncode, p.stdout), (status, ""), f"status and output of {p.args}")
    check(len(p.stderr.splitlines()) == 1 and p.stderr.startswith("nslens"), "one line", p.stderr)
    for word in words:
        check(word in p.stderr, f"it says '{word}'", p.stderr)


def converse(ns, count=1, **client):
    """TCP connections on loopback of @ns; the client's lines."""
    s = ns.talk("tcp-server", ip="127.0.0.1", count=count, summary=True)
    c = ns.talk("tcp-client", ip="127.0.0.1", port=s.port, count=count, recv=0,
                **{"send": 10, **client})
    lines = c.wait()
    s.wait()
    return lines


# --- the protocol, as src/agent/protocol.h has it ---------------------------------------------------

def frame(data):
    return len(data).to_bytes(4, "big") + data


def request(**members):
    return json.dumps({"version": VERSION, "command": "observe", "output": "json",
                       **members}).encode() + b"\n"


def connect(agent, data=b""):
    s = socket.socket(socket.AF_UNIX)
    cleanup(s.close)
    s.connect(agent.socket)
    s.settimeout(15 * FACTOR)
    try:
        s.sendall(data)
    except BrokenPipeError:
        pass  # it is turned away before it asks; why is still there to be read
    return s


def read_frame(s):
    """A frame's content; None: the connection ended before."""
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        want = 4 if len(data) < 4 else 4 + int.from_bytes(data[:4], "big")
        try:
            more = s.recv(want - len(data))
        except ConnectionResetError:
            more = b""
        if not more:
            return None
        data += more
    return data[4:]


def refusal(s):
    greeting = read_frame(s)
    return json.loads(greeting).get("error", "") if greeting else None


class Fake:
    """Something else that listens where an agent would, and says @answer to each client."""

    def __init__(self, answer):
        self.folder = tempfile.mkdtemp(dir=state_folder())
        self.answer = answer
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(self.folder, "agent.sock"))
        self.listener.listen(8)
        cleanup(self.listener.close)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        held = []
        while True:
            try:
                s = self.listener.accept()[0]
            except OSError:
                return
            if self.answer is None:
                held.append(s)
                continue
            s.recv(1 << 16)
            s.sendall(self.answer)
            s.close()


# --- what it serves ---------------------------------------------------------------------------------

@once
def shared():
    return Agent()


def paths(value, at=""):
    if isinstance(value, dict):
        return {p for key, v in value.items() for p in paths(v, f"{at}.{key}")}
    return {at}


@test("observe through the agent and by itself tell the same")
def _():
    bed = Bed()
    served, alone = shared().observe(near=[bed]), Observe(near=[bed])
    s = bed.b.ns.talk("tcp-server", ip=bed.b.ip4, send=5000)
    tcp = bed.a.ns.talk("tcp-client", ip=bed.b.ip4, port=s.port, send=70000, recv=5000).wait()[0]
    s.wait()
    s = bed.b.ns.talk("udp-server", ip=bed.b.ip6, count=3, reply=7)
    udp = bed.a.ns.talk("udp-client", ip=bed.b.ip6, port=s.port, count=3, reply=7).wait()[0]
    s.wait()
    refused = bed.a.ns.talk("tcp-client", ip=bed.b.ip4, port=1)
    refused.wait(status=None)
    for line in (tcp, udp):
        for action in ("open", "close"):
            a, b = served.conversation(line, action), alone.conversation(line, action)
            same(paths(a), paths(b), f"members of {action}")
            for path in ("event.action", "network", "source.bytes", "destination.bytes",
                         "source.packets", "source.process.pid", "destination.process.pid",
                         "source.netns.cookie", "flow.reason"):
                same(get(a, path), get(b, path), f"{path} of {action}")

    def failed(event):
        return get(event, "event.action") == "fail" and get(event, "destination.port") == 1
    same(paths(served.wait(failed)), paths(alone.wait(failed)), "members of fail")
    same(paths(served.stop()), paths(alone.stop()), "members of the totals")


@test("--for, SIGINT, SIGTERM and the end of the agent end a client with its totals")
def _():
    agent = Agent()
    p = agent.nslens("observe", "-o", "json", "--for", "500ms")
    same((p.returncode, p.stderr), (0, ""), "status and errors of --for")
    last = json.loads(p.stdout.splitlines()[-1])
    check(is_totals(last), "the last line", last)
    check(450e6 < last["event"]["duration"] < 3e9 * FACTOR, "how long", last["event"]["duration"])
    for number in (signal.SIGINT, signal.SIGTERM):
        agent.observe().stop(number)
    watch = agent.observe()
    agent.end()
    same(watch.process.wait(5), 0, "status of the client")
    watch._out.join()
    check(is_totals(json.loads(watch._out.lines[-1][1])), "the client's last line")
    check(not os.path.exists(agent.socket), "the socket is gone")


@test("a closed pipe ends a client quietly")
def _():
    ns = Namespace()
    for form in ("json", "text"):
        with tempfile.TemporaryFile() as errors:
            p = start([NSLENS, "observe", *shared().here, "-o", form], stdout=subprocess.PIPE,
                      stderr=errors)
            lines = Lines(p.stdout)
            wait_for(lambda: converse(ns) and lines.lines, 10, f"the first line of {form}")
            os.dup2(os.open("/dev/null", os.O_RDONLY), p.stdout.fileno())
            wait_for(lambda: converse(ns) and p.poll() is not None, 10, "its end")
            errors.seek(0)
            same((p.returncode, errors.read()), (0, b""), f"status and errors, {form}")


@test("status: figures of the agent, as text and JSON; without one, of one that begins and ends")
def _():
    agent = shared()
    line = agent.status()
    expect(line, {"agent.pid": agent.process.pid, "agent.version": VERSION,
                  "agent.resident_bytes": between(1 << 20, 1 << 30),
                  "agent.kernel_map_bytes": between(1 << 20, 1 << 30),
                  "namespaces.total": between(1, 1 << 20), "lost.by_reason": known}, "the line")
    same({p["name"]: p["state"] for p in line["probes"] if p["default"]},
         dict.fromkeys(("tcp", "io", "dgram", "sock", "refused", "process"), "attached"), "the probes")
    before = line["conversations"]["total"]
    converse(Namespace(), count=20)
    wait_for(lambda: agent.status()["conversations"]["total"] >= before + 20, 5, "20 more")
    p = agent.nslens("status")
    same((p.returncode, p.stderr), (0, ""), "status and errors of the text")
    check(f"pid {agent.process.pid}" in p.stdout and "lost" in p.stdout, "the text", p.stdout)
    p = nslens("status", "--state-dir", tempfile.mkdtemp(dir=state_folder()))
    same((p.returncode, p.stderr.count("\n")), (0, 1), "status, lines on stderr without an agent")
    check("no agent runs" in p.stderr and "TCP conversations" in p.stdout, "what it says", p.stderr)


# --- surroundings -----------------------------------------------------------------------------------

@test("an agent without privileges: names the capabilities, and leaves nothing")
def _():
    folder = public_folder()
    program = shutil.copy(NSLENS, folder)
    os.chmod(folder, 0o777)
    state = os.path.join(folder, "state")
    p = run(*NOBODY, program, "run", "--state-dir", state, check_status=False)
    one_line(p, 1, "CAP_BPF, CAP_PERFMON", "root")
    p = run("setpriv", "--bounding-set", "-bpf,-sys_admin", "--inh-caps", "-bpf,-sys_admin", program,
            "run", "--state-dir", state, check_status=False)
    one_line(p, 1, "lacks CAP_BPF;")
    check(not os.path.exists(state), "there is no state folder")
    p = run(*NOBODY, program, "observe", *shared().here, check_status=False)
    one_line(p, 1, "Permission denied", "user who runs the agent")


@test("without CAP_NET_ADMIN it shows TCP, and says what it lacks")
def _():
    text = "-net_admin,-sys_admin"
    p = run("setpriv", "--bounding-set", text, "--inh-caps", text, *observe_argv("--for", "100ms"))
    same(p.stderr.count("\n"), 1, f"lines on stderr: {p.stderr}")
    for word in ("UDP and ICMP", "CAP_NET_ADMIN"):
        check(word in p.stderr, f"it says {word}", p.stderr)


@test("no BTF: the agent says so in one line, and how to get it")
def _():
    p = run("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf; exec "$@"', "sh",
            NSLENS, "run", "--state-dir", tempfile.mkdtemp(dir=state_folder()), check_status=False)
    one_line(p, 1, "BTF", "CONFIG_DEBUG_INFO_BTF")


@test("no BPF filesystem: nothing is missing, but nothing outlives the agent, which it says")
def _():
    bare = ["unshare", "--mount", "sh", "-c", 'umount -a -t bpf; exec "$@"', "sh"]
    agent = Agent(wrap=bare)
    same(agent.errors().count("\n"), 1, "lines: " + agent.errors())
    for word in ("nothing is pinned", "ends with the agent", "is not in a BPF filesystem", "--pin-dir"):
        check(word in agent.errors(), f"it says {word}", agent.errors())
    same({p["state"] for p in agent.status()["probes"] if p["default"]}, {"attached"}, "the probes")


@test("no cgroup2: the agent says what is not seen, so do observe and status, and TCP is shown")
def _():
    agent = Agent(wrap=["unshare", "--mount", "sh", "-c", 'umount -a -t cgroup2; exec "$@"', "sh"])
    for word in ("UDP and ICMP", "cgroup2 is not mounted"):
        check(word in agent.errors(), f"it says {word}", agent.errors())
    probes = {p["name"]: p for p in agent.status()["probes"]}
    expect(probes["dgram"], {"state": "absent", "reason": "cgroup2 is not mounted"}, "the probe")
    same(probes["tcp"]["state"], "attached", "the other probe")
    check("not attached: cgroup2" in agent.nslens("status").stdout, "the text says so, too")
    ns = Namespace()
    watch = agent.observe(near=[ns])
    same(watch.stderr().count("\n"), 0, "lines on the client's stderr")
    check("not seen: UDP and ICMP conversations: cgroup2" in watch.stderr(), "and what", watch.stderr())
    watch.conversation(converse(ns)[0])
    watch.stop()


# --- other agents -----------------------------------------------------------------------------------

@test("a second agent ends with one line, and the first doesn't notice")
def _():
    agent, ns = shared(), Namespace()
    watch = agent.observe(near=[ns])
    one_line(agent.nslens("run"), 1, "another agent", f"pid {agent.process.pid}", agent.folder,
             "--state-dir")
    watch.conversation(converse(ns)[0])
    same(agent.status()["agent"]["pid"], agent.process.pid, "who answers")
    other = Agent()
    same(other.status()["agent"]["pid"], other.process.pid, "one with another state folder")
    other.end()
    watch.conversation(converse(ns)[0])
    watch.stop()


@test("of many agents that begin at once, one runs")
def _():
    folder = tempfile.mkdtemp(dir=state_folder())
    all_ = [start([NSLENS, "run", "--state-dir", folder], stdout=subprocess.DEVNULL,
                  stderr=subprocess.DEVNULL) for _ in range(6)]
    wait_for(lambda: sum(p.poll() is not None for p in all_) == 5, 20, "five have ended")
    same(sorted(p.poll() for p in all_ if p.poll() is not None), [1] * 5, "their statuses")
    winner = next(p for p in all_ if p.poll() is None)

    def answers():
        p = nslens("status", "-o", "json", "--state-dir", folder)
        return p.returncode == 0 and json.loads(p.stdout)["agent"]["pid"] == winner.pid
    wait_for(answers, 10, "the winner answers")


@test("an agent of another version, or something else that listens there: one line")
def _():
    def ask(answer, *words):
        fake = Fake(answer)
        for command in ("observe", "status"):
            one_line(nslens(command, "--state-dir", fake.folder), 1, *words)
    ask(frame(b'{"version":"9.9.9"}\n') + frame(b"output\n") + frame(b""), "9.9.9", VERSION, "restart")
    ask(frame(b'{"version":"9.9.9","error":"no, and\\nno \\u001b[31m"}\n'), "refuses: no, and")
    ask(b"HTTP/1.1 400 Bad Request\r\n\r\n", "state directory")
    ask(frame(b"[1,2"), "not an agent")
    ask(b"\0\0", "ended before it answered")
    ask(b"", "ended before it answered")
    ask(b"\xff\xff\xff\xff", "ended before it answered")


@test("something that listens there and never answers: one line after ten seconds")
def _():
    begin = time.monotonic()
    one_line(nslens("observe", "--state-dir", Fake(None).folder), 1, "does not answer within 10 s")
    check(9 < time.monotonic() - begin < 10 + 8 * FACTOR, "seconds", time.monotonic() - begin)


@test("a stopped agent: a client that wants to end does so after a moment, and says why")
def _():
    agent = Agent()
    watch = agent.observe()
    os.kill(agent.process.pid, signal.SIGSTOP)
    try:
        watch.process.send_signal(signal.SIGINT)
        same(watch.process.wait(5 + 5 * FACTOR), 1, "status")
    finally:
        os.kill(agent.process.pid, signal.SIGCONT)
    check("does not end the output" in watch.stderr(), "it says why", watch.stderr())
    agent.end()


@test("a client of another version is told both versions, and detach works across them")
def _():
    agent = Agent()
    for command in ("observe", "status", "nonsense"):
        text = refusal(connect(agent, request(version="9.9.9", command=command)))
        check("9.9.9" in text and VERSION in text, f"what it says to {command}", text)
    check("9.9.9" not in agent.nslens("status").stdout, "and goes on")
    same(refusal(connect(agent, request(version="9.9.9", command="stop"))), "", "the stop is welcome")
    same(agent.process.wait(10), 0, "status of the agent")


# --- the agent dies ---------------------------------------------------------------------------------

@test("the agent dies in mid-stream: its client says so, with status 1; the next agent and client work")
def _():
    agent, ns = Agent(), Namespace()
    watch = agent.observe(near=[ns])
    watch.conversation(converse(ns)[0])
    held = agent.held()
    check(len(held[0]) > 4 and len(held[1]) > 4, "it held programs and links", held)
    agent.kill()
    same(watch.process.wait(5), 1, "status of the client")
    same(watch.stderr().count("\n"), 0, "lines: " + watch.stderr())
    check("broke off" in watch.stderr(), "what it says", watch.stderr())
    watch._out.join()
    same(watch._out.rest, b"", "what follows the last newline")
    watch.all()
    same([e for _, e in watch.events if is_totals(e)], [], "totals")
    nothing_left(held, agent.folder, "its programs and links are gone")
    p = agent.nslens("observe", "--for", "100ms", "-o", "json")
    check(p.returncode == 0 and is_totals(json.loads(p.stdout.splitlines()[-1])),
          "observe works without it", p.stderr)
    agent = Agent(folder=agent.folder)
    same(agent.errors(), "", "what the next agent says")
    watch = agent.observe(near=[ns])
    watch.conversation(converse(ns)[0])
    watch.stop()
    agent.end()


@test("SIGKILL at any moment changes nothing for any connection, and leaves nothing")
def _():
    bed = Bed()
    server = bed.b.ns.talk("tcp-server", ip=bed.b.ip4, send=3000, count=400)
    client = bed.a.ns.talk("tcp-client", ip=bed.b.ip4, port=server.port, send=20000, recv=3000,
                           count=400, gap_ms=1)
    long_server = bed.b.ns.talk("tcp-server", ip=bed.b.ip6, send=5000)
    long_client = bed.a.ns.talk("tcp-client", ip=bed.b.ip6, port=long_server.port, send=70000,
                                recv=5000, pause="connected")
    long_client.expect("paused")
    folder, held, n = tempfile.mkdtemp(dir=state_folder()), (set(), set()), 0
    while n < 6 or client.process.poll() is None and n < 40:
        moment = random.random() * 1.2
        process = start([NSLENS, "run", "--state-dir", folder], stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL)
        end = time.monotonic() + moment
        while time.monotonic() < end:
            held[0].update(descriptors(process.pid, "prog_id"))
            held[1].update(descriptors(process.pid, "link_id"))
            time.sleep(0.02)
        process.kill()
        same(process.wait(), -signal.SIGKILL, f"status {moment:.3f} s after its start")
        n += 1
    long_client.go()
    for c, s, sent, received in ((client, server, 400 * 20000, 400 * 3000),
                                 (long_client, long_server, 70000, 5000)):
        for name, lines, want in (("client", c.wait(), (sent, received)),
                                  ("server", s.wait(), (received, sent))):
            same(tuple(sum(x[key] for x in lines) for key in ("sent", "received")), want, name)
            same([x["error"] for x in lines if "error" in x], [], f"errors of the {name}")
    check(len(held[0]) > 8, "programs that were there", len(held[0]))
    nothing_left(held, folder, "programs and links of the dead agents are gone")
    agent = Agent(folder=folder)
    same(agent.errors(), "", "what the next agent says")
    watch = agent.observe(near=[bed])
    s = bed.b.ns.talk("tcp-server", ip=bed.b.ip4)
    c = bed.a.ns.talk("tcp-client", ip=bed.b.ip4, port=s.port, send=10, recv=0)
    watch.conversation(c.wait()[0])
    watch.stop()
    agent.end()


# --- too much ---------------------------------------------------------------------------------------

@test("a full ring: counted, shown in the stream, in totals and status; conversations end nevertheless")
def _():
    agent, ns = Agent("--ring-size", "4096"), Namespace()
    watch = agent.observe(near=[ns])
    text = start([NSLENS, "observe", *agent.here], stdout=subprocess.PIPE)
    text_lines = Lines(text.stdout)
    wait_for(lambda: agent.status()["agent"]["clients"] >= 3, 5, "both clients are there")

    def burst():
        converse(ns, count=volume(1500), summary=True)
        return watch.all(is_lost)
    wait_for(burst, 60, "a loss")
    for line in watch.all(is_lost):
        expect(line, {"lost.reason": known, "lost.records": between(1, 1 << 30)}, "the lost line")
    check("ring_full" in {get(line, "lost.reason") for line in watch.all(is_lost)}, "ring_full")

    def open_ones():
        def of(*actions):
            return {get(e, "flow.id") for e in watch.all(
                lambda e: get(e, "event.action") in actions and get(e, "event.dataset") == "nslens.flow")}
        return of("open") - of("close", "fail")
    wait_for(lambda: not open_ones(), 20, "each conversation that was opened has ended")
    p = agent.nslens("status")
    check("ring_full" in p.stdout, "the text of status", p.stdout)
    status = agent.status()
    totals = watch.stop()
    told = sum(get(line, "lost.records") for line in watch.all(is_lost))
    same(get(totals, "totals.lost"), told, "the totals and the sum of the lost lines")
    by_reason = status["lost"]["by_reason"]
    check(0 < by_reason["ring_full"] <= status["lost"]["records"], "status", by_reason)
    same(sum(by_reason.values()), status["lost"]["records"], "the sum of the reasons")
    wait_for(lambda: any("LOST" in line for _, line in text_lines.lines), 5, "the text's lost line")


@test("clients that ask badly are turned away with a reason")
def _():
    agent = shared()
    cases = {b"GET / HTTP/1.1\r\n\r\n": "not a request", b"\n": "not a request", b"{}\n": "not a request",
             b"\xff\xfe\x00\x01\n": "not a request", b"[" * 9000 + b"\n": "not a request",
             request(command="explode"): "does not know",
             request(output="xml"): "no such output",
             request(filter="port ="): "filter: ",
             request(filter="(" * 5000): "filter: ",
             b"x" * 20000: "too long"}
    for data, word in cases.items():
        s = connect(agent, data)
        text = refusal(s)
        check(text is not None and word in text and "\n" not in text, f"reason for {data[:40]}", text)
        same(read_frame(s), None, "what follows")
    check(agent.status()["agent"]["clients_refused"] >= len(cases), "the count of those turned away")


@test("clients that half ask, never read or come in crowds disturb nobody")
def _():
    agent, ns = Agent(), Namespace()
    watch = agent.observe(near=[ns])
    half = connect(agent, request()[:20])
    silent = connect(agent)
    lazy = connect(agent, request())
    crowd = [connect(agent) for _ in range(100)]
    refused = [refusal(s) for s in crowd[80:]]
    check(all(text and "64" in text for text in refused), "those who are too many are told", refused[:2])
    one_line(agent.nslens("observe"), 1, "64 commands")
    for s in (half, silent):
        same(read_frame(s), None, "the one who doesn't ask is let go")
    wait_for(lambda: "64" not in (agent.nslens("observe", "--for", "1ms").stderr), 10,
             "there is room again")
    for _ in range(4):  # each is some 5 MB
        converse(ns, count=2000, summary=True)
    watch.conversation(converse(ns)[0])
    status = agent.status()
    check(status["agent"]["resident_bytes"] < 100 << 20, "resident bytes", status["agent"])
    totals = watch.stop()
    same(get(totals, "totals.lost"), sum(get(e, "lost.records") for e in watch.all(is_lost)), "lost")
    check(not watch.all(lambda e: get(e, "lost.reason") == "reader_slow"), "the other lost nothing")
    check_lazy(lazy, len(watch.all(lambda e: get(e, "event.dataset") == "nslens.flow")))


def check_lazy(s, n_events):
    """What was kept for the one who didn't read is whole, and says what is missing."""
    s.shutdown(socket.SHUT_WR)
    frames = []
    while (data := read_frame(s)):
        frames.append(data)
    same(data, b"", "the last frame: the orderly end")
    lines = [json.loads(line) for f in frames[1:] for line in f.decode().splitlines()]
    check(is_totals(lines[-1]), "its last line", lines[-1])
    lost = sum(get(e, "lost.records") for e in lines if is_lost(e))
    same(get(lines[-1], "totals.lost"), lost, "its losses, in the totals and told")
    dropped = sum(get(e, "lost.records") for e in lines if get(e, "lost.reason") == "reader_slow")
    flows = sum(get(e, "event.dataset") == "nslens.flow" for e in lines)
    check(dropped, "it missed some", len(lines))
    check(flows + dropped >= n_events, "what it got and what it missed", (flows, dropped, n_events))


main()
