# SPDX-License-Identifier: Apache-2.0
"""What a measurement stands on: two network namespaces, the load in them, the tools beside it.

Namespaces have no name; each is held by a process whose standard input is a pipe of ours, so that it
goes when we go, whatever ends us. Everything else is taken down by close().
"""
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, os.environ.get("B", "build"))
LOAD = os.path.join(BUILD, "test/bench/load")
SUBJECTS = os.path.join(HERE, "subjects")
UNAVAILABLE = 3                 # exit status of a subject that can't run here
READY_SECONDS = 20
LINE_SECONDS = 60
PR_SET_PDEATHSIG = 1

# What a unit of each load is; and how many of the units that load.c counts make one.
UNITS = {"connect": ("connection", 1), "bulk": ("MiB", 1 / 16), "rr": ("request", 1), "udp": ("datagram", 64)}
PORTS = {name: 9000 + i for i, name in enumerate(UNITS)}

libc = ctypes.CDLL(None)


class RigError(Exception):
    """The measurement can't be made; the text says why."""


class SubjectError(Exception):
    """A subject can't run, or failed; the text says why."""


def ahead_of_others(cpu):
    """A function for preexec_fn: on that CPU, ahead of what else the machine runs."""
    def prepare():
        os.setsid()
        os.sched_setaffinity(0, {cpu})
        with contextlib.suppress(OSError):
            os.nice(-20)
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as f:
            f.write("-20")
    return prepare


class Namespace:
    """A network namespace without a name. path serves nsenter --net=."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec cat"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        if not self.process.stdout.readline():
            raise RigError("no new network namespace: not root?")
        self.path = f"/proc/{self.process.pid}/ns/net"

    def enter(self, *argv):
        return ["nsenter", f"--net={self.path}", *argv]

    def shell(self, script):
        p = subprocess.run(self.enter("sh", "-euc", script), capture_output=True, text=True, check=False)
        if p.returncode:
            raise RigError(f"setting up a namespace failed: {p.stderr.strip()}")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Process:
    """A program of the load, that answers in lines."""

    def __init__(self, argv, cpu):
        prepare = ahead_of_others(cpu)

        def in_child():
            prepare()
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        self.argv = argv
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0, preexec_fn=in_child)

    def line(self):
        """The next line; RigError if it doesn't come."""
        text = b""
        while not text.endswith(b"\n"):
            readable, _, _ = select.select([self.process.stdout], [], [], LINE_SECONDS)
            data = self.process.stdout.read(4096) if readable else None
            if not data:
                why = "no answer" if data is None else self.process.stderr.read().decode().strip()
                raise RigError(f"{' '.join(self.argv[1:])}: {why}")
            text += data
        return text.decode()

    def say(self, text):
        self.process.stdin.write(text.encode())

    def close(self):
        self.process.kill()
        self.process.wait()


class Load:
    """Server and client of one load. run() does a fixed amount of work."""

    def __init__(self, rig, name):
        self.rig, self.name = rig, name
        self.unit, self.per_unit = UNITS[name]
        server = [LOAD, "serve", name, rig.address, str(PORTS[name])]
        client = [LOAD, "drive", name, rig.address, str(PORTS[name])]
        self.server = rig.keep(Process(rig.server_ns.enter(*server), rig.cpus[1]))
        self.server.line()
        self.client = rig.keep(Process(rig.ns_a.enter(*client), rig.cpus[0]))
        self.warm = self.units = 0

    def _drive(self, warm, units):
        self.client.say(f"{warm} {units}\n")
        ns, p50, p99 = map(int, self.client.line().split())
        return {"ns": ns, "p50_ns": p50, "p99_ns": p99} if p50 else {"ns": ns}

    def calibrate(self, seconds, warm_seconds):
        """Fix the amount of work so that it takes about so long with no tool running."""
        units, took = 16, 0
        while took < seconds * 1e9 / 2:
            units *= 2
            took = self._drive(0, units)["ns"]
        took = sorted(self._drive(units // 4, units)["ns"] for _ in range(3))[1]
        self.units = max(1, round(units * seconds * 1e9 / took))
        self.warm = max(1, round(units * warm_seconds * 1e9 / took))

    def run(self, times=1):
        """{"ns": ...} of the measured part, which is times longer than calibrated."""
        return self._drive(self.warm, round(self.units * times))

    def settle(self, times=0.5):
        """Run a little and forget it: caches, frequency and late work get to where they stay."""
        self._drive(self.warm, max(1, round(self.units * times)))

    def work(self, times=1):
        """What run() does in all, in units as the table shows them."""
        return (self.warm + round(self.units * times)) * self.per_unit


class Subject:
    """A tool beside the load, through its script. doc/bench.md has the verbs."""

    def __init__(self, rig, name):
        self.rig, self.name = rig, name
        self.script = name if "/" in name else os.path.join(SUBJECTS, name)
        self.name = os.path.basename(name)
        self.prefix = []        # put before the script when it starts
        self.running = False
        self.state = os.path.join(rig.folder, self.name)
        os.makedirs(self.state, exist_ok=True)
        if not os.access(self.script, os.X_OK):
            raise RigError(f"no subject '{name}': {self.script} isn't an executable file")

    def _call(self, verb, *args):
        return subprocess.run(self.prefix * (verb == "start") + [self.script, verb, *args], check=False,
                              capture_output=True, text=True, cwd=ROOT, env=self.rig.environment,
                              preexec_fn=ahead_of_others(self.rig.cpus[2]))

    def _call_with_state(self, verb):
        return self._call(verb, self.state, self.rig.ns_a.path, self.rig.ns_b.path)

    def _ask(self, verb):
        p = self._call(verb)
        if p.returncode:
            raise SubjectError((p.stderr.strip() or f"'{verb}' failed with {p.returncode}").splitlines()[-1])
        return p.stdout.strip()

    def describe(self):
        """{"about", "period_s", "lag_s", "loads"}; SubjectError if it can't run here."""
        return {"about": self._ask("about"), "period_s": float(self._ask("period")),
                "lag_s": float(self._ask("lag")), "loads": self._ask("loads").split()}

    def _why(self, text, p=None):
        try:
            with open(os.path.join(self.state, "err"), encoding="utf-8", errors="replace") as f:
                said = f.read().strip().splitlines()
        except OSError:
            said = []
        said = said or (p.stderr.strip().splitlines() if p else [])
        return SubjectError(text + (f": {said[-1]}" if said else ""))

    def start(self):
        """Returns when it says that it is ready."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.state, "err"))
        self.running = True
        p = self._call_with_state("start")
        if p.returncode:
            raise self._why("did not start", p)
        end = time.monotonic() + READY_SECONDS
        while self._call_with_state("ready").returncode:
            if not self.alive():
                raise self._why("ended at once")
            if time.monotonic() > end:
                raise self._why(f"not ready within {READY_SECONDS} s")
            time.sleep(0.005)

    def stop(self):
        if self.running:
            self._call_with_state("stop")
            self.running = False

    def pids(self):
        return [int(p) for p in self._call_with_state("cpu").stdout.split()]

    def alive(self):
        return all(is_running(p) for p in self.pids())

    def must_be_alive(self):
        if not self.alive():
            raise self._why("ended while it was measured")

    def cpu_ns(self):
        """What its processes and their ended children have used so far."""
        return sum(process_cpu_ns(p) for p in self.pids())


def stat_fields(pid):
    """The fields of /proc/PID/stat behind the name: [0] is the state."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()
    except OSError:
        return []


def is_running(pid):
    return stat_fields(pid)[:1] not in ([], ["Z"], ["X"])


def process_cpu_ns(pid):
    """Threads by the scheduler's clock (ns), ended children by the kernel's ticks."""
    total = 0
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
    fields = stat_fields(pid)
    if fields:
        total += (int(fields[13]) + int(fields[14])) * 10**9 // os.sysconf("SC_CLK_TCK")
    return total


SET_UP_A = r"""
ip link set lo up
ip link add bench0 type veth peer name bench1 netns {holder}
ip address add 10.231.0.1/24 dev bench0
ip link set bench0 up
sysctl -qw net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_local_port_range='1024 65535' \
       net.ipv4.ip_local_reserved_ports=9000-9199
"""
SET_UP_B = """
ip link set lo up
ip address add 10.231.0.2/24 dev bench1
ip link set bench1 up
"""


class Rig:
    """Namespaces A (the client's) and B (the server's), or with path "loopback" both in A."""

    def __init__(self, cpus, path="veth"):
        self.cpus = cpus        # of client, server, tool
        self._stack = contextlib.ExitStack()
        try:
            self.folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="nslens-bench-"))
            self.ns_a, self.ns_b = self.keep(Namespace()), self.keep(Namespace())
            self.ns_a.shell(SET_UP_A.format(holder=self.ns_b.process.pid))
            self.ns_b.shell(SET_UP_B)
        except BaseException:
            self.close()
            raise
        loopback = path == "loopback"
        self.server_ns = self.ns_a if loopback else self.ns_b
        self.address = "127.0.0.1" if loopback else "10.231.0.2"
        self.environment = {**os.environ, "LC_ALL": "C.UTF-8", "BENCH_DEVICE": "lo" if loopback else "bench0",
                            "BENCH_NSLENS": os.environ.get("BENCH_NSLENS", os.path.join(BUILD, "nslens"))}

    def keep(self, thing):
        """close() it when the rig is closed; last in, first out."""
        self._stack.callback(thing.close)
        return thing

    def subject(self, name):
        s = Subject(self, name)
        self._stack.callback(s.stop)
        return s

    def close(self):
        self._stack.close()
