# SPDX-License-Identifier: Apache-2.0
"""The kit of the netns rung: tests that run real traffic in namespaces of their own.

A test file registers functions with @test("what holds") and ends with main(). Each prints one TAP
line; an exception or a failed check() makes it "not ok". What a test creates (namespaces, processes,
observers) is taken down when the test ends, what @once functions create when the file ends, also on
failure and on signals.

Nothing here sleeps to let something happen: wait_for() polls a condition with a deadline.
NSLENS_FACTOR (default 1) says how much slower this machine is: every deadline is multiplied by it, and
volume(n) divides by it.
NSLENS_SECONDS makes storms blow for so long, at full size; without it they are short and small.
"""
import atexit
import ctypes
import ipaddress
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("B", "build"))
NSLENS = os.path.join(BUILD, "nslens")
TALK = os.path.join(BUILD, "test/lib/talk")
SCHEMA = os.path.join(ROOT, "doc/schema/nslens.schema.json")
FACTOR = float(os.environ.get("NSLENS_FACTOR", "1"))
SECONDS = float(os.environ.get("NSLENS_SECONDS", "0"))  # how long a storm blows; 0: its short form
TEST_SECONDS = 90 + 10 * SECONDS
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """The test can't go on; the text says what was expected and what came."""


class Skipped(Exception):
    """The test can't run here; the text says why."""


# --- tests and TAP --------------------

_tests = []
_failures = []          # of the running test
_file_cleanups = []
_test_cleanups = None   # a list while a test runs


def test(name):
    """Register the function below as a test. Tests run in the order of the file."""
    def register(function):
        _tests.append((name, function))
        return function
    return register


def check(condition, text, detail=None):
    """Note a failure and go on. Returns the condition."""
    if not condition:
        _failures.append(text if detail is None else f"{text}: {detail}")
    return condition


def same(got, want, text):
    return check(got == want, text, f"got {got!r}, expected {want!r}")


def skip(why):
    raise Skipped(why)


def once(function):
    """Decorator: what the file's tests share. Made at the first call, taken down at the file's end."""
    made = []

    def shared():
        global _test_cleanups
        if not made:
            saved, _test_cleanups = _test_cleanups, None
            try:
                made.append(function())
            finally:
                _test_cleanups = saved
        return made[0]
    return shared


def cleanup(function):
    """Call @function when the running test ends, or the file, if none runs. Last in, first out."""
    (_file_cleanups if _test_cleanups is None else _test_cleanups).append(function)


def _clean(functions):
    while functions:
        try:
            functions.pop()()
        except Exception as e:  # what can't be taken down must not hide the rest
            print(f"# cleanup: {e}", flush=True)


def _diagnose(texts):
    for text in texts:
        for line in str(text).splitlines():
            print("#   " + line, flush=True)


def _run_one(function):
    """Returns None, or the reason of a skip. Failures are in _failures."""
    global _test_cleanups
    _test_cleanups = []
    _failures.clear()
    signal.alarm(int(TEST_SECONDS * FACTOR))
    try:
        function()
    except Skipped as e:
        return str(e)
    except Failed as e:
        _failures.append(str(e))
    except Exception:
        _failures.append(traceback.format_exc())
    finally:
        signal.alarm(0)
        _clean(_test_cleanups)
        _test_cleanups = None
    return None


def _on_signal(number, _frame):
    if number == signal.SIGALRM:
        raise Failed(f"the test did not end within {TEST_SECONDS * FACTOR:g} s")
    raise SystemExit(128 + number)


def main():
    """Run the file's tests, or those whose names contain one of the arguments."""
    chosen = [t for t in _tests if not sys.argv[1:] or any(a in t[0] for a in sys.argv[1:])]
    signal.signal(signal.SIGALRM, _on_signal)
    print(f"1..{len(chosen)}", flush=True)
    n_failed = 0
    for i, (name, function) in enumerate(chosen, 1):
        skipped = _run_one(function)
        n_failed += bool(_failures)
        verdict = "not ok" if _failures else "ok"
        print(f"{verdict} {i} - {name}" + (f" # SKIP {skipped}" if skipped else ""), flush=True)
        _diagnose(_failures)
    _clean(_file_cleanups)
    sys.exit(1 if n_failed else 0)


for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(_number, _on_signal)
atexit.register(lambda: (_clean(_test_cleanups or []), _clean(_file_cleanups)))


# --- waiting --------------------

def volume(n):
    """How many of something: what takes long here is done less often, but at least once."""
    return max(1, int(n / FACTOR))


def wait_for(predicate, seconds, what="the condition"):
    """Poll until predicate() is true and return it; Failed after @seconds (scaled)."""
    end = time.monotonic() + seconds * FACTOR
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds * FACTOR:g} s")
        time.sleep(0.005)


# --- JSON --------------------

def get(value, path, default=None):
    """get(event, "source.process.pid")"""
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return default
        value = value[key]
    return value


def differences(event, expected):
    """What in @event is not as in @expected, {"dotted.path": value or predicate}; None: absent."""
    wrong = []
    for path, want in expected.items():
        got = get(event, path)
        fine = want(got) if callable(want) else got == want
        if not fine:
            wrong.append(f"{path} is {got!r}" + ("" if callable(want) else f", expected {want!r}"))
    return wrong


def expect(event, expected, text):
    """check() that @event has what is expected; prints the event if not."""
    wrong = differences(event, expected)
    return check(not wrong, text, "; ".join(wrong) + "\n" + json.dumps(event))


def known(value):
    return value is not None and value != ""


def between(low, high):
    return lambda value: value is not None and low <= value <= high


def time_ns(text):
    """RFC 3339 UTC with up to nine digits -> ns since the epoch."""
    m = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", text)
    if not m:
        raise Failed(f"not an RFC 3339 UTC time: {text}")
    import calendar
    seconds = calendar.timegm(time.strptime(m.group(1), "%Y-%m-%dT%H:%M:%S"))
    return seconds * 10**9 + int((m.group(2) or "0").ljust(9, "0"))


_validator = None


def schema_errors(event):
    """Texts of what the schema finds wrong with a line; none if there is no schema."""
    global _validator
    if _validator is None:
        if not os.path.exists(SCHEMA):
            return []
        import jsonschema
        with open(SCHEMA, encoding="utf-8") as f:
            schema = json.load(f)
        kind = jsonschema.validators.validator_for(schema)
        kind.check_schema(schema)
        _validator = kind(schema)
    error = next(_validator.iter_errors(event), None)
    return [f"{error.message[:400]} at {'/'.join(map(str, error.absolute_path))}"] if error else []


# --- processes --------------------

def _die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_process(process, seconds=5):
    """SIGTERM, then SIGKILL. Only processes started here, by their Popen object."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(seconds * FACTOR)
        except subprocess.TimeoutExpired:
            pass


def start(argv, prepare=None, **keywords):
    """Popen with cleanup. The process is killed if the test dies. @prepare() runs before exec."""
    if NSLENS in argv:
        keywords.setdefault("env", environment(state=_state_of(argv)))

    def in_child():
        _die_with_parent()
        if prepare:
            prepare()
    process = subprocess.Popen(argv, preexec_fn=in_child, **keywords)
    cleanup(lambda: end_process(process))
    return process


def run(*argv, check_status=True, seconds=20, **keywords):
    """Run to the end, return the CompletedProcess with text output. Failed if it fails."""
    if NSLENS in argv:
        keywords.setdefault("env", environment(state=_state_of(argv)))
    p = subprocess.run(argv, capture_output=True, text=True, timeout=seconds * FACTOR, **keywords)
    if check_status and p.returncode:
        raise Failed(f"{' '.join(argv)}: status {p.returncode}: {p.stderr.strip()}")
    return p


def observe_argv(*args):
    """argv of an `nslens observe` that finds no agent but the test's own."""
    return [NSLENS, "observe", "--state-dir", state_folder(), *args]


def nslens(*args, **keywords):
    """Run nslens to its end; status, output and errors in the result."""
    return run(NSLENS, *args, check_status=False, **keywords)


def environment(state=None, **more):
    """The environment of a test's nslens: no agent but the test's own is found with it, and it pins
    where nothing stays. @state: its state folder, if it has one of its own."""
    return {**os.environ, "NSLENS_STATE_DIR": state_folder(), "NSLENS_PIN_DIR": pin_folder(state),
            "LC_ALL": "C.UTF-8", **more}


def _state_of(argv):
    """What --state-dir says among @argv."""
    return next((after for word, after in zip(argv, argv[1:]) if word == "--state-dir"), None)


_state = None


def state_folder():
    """A private folder for this file: the state of nslens, sockets, captures."""
    global _state
    if _state is None:
        _state = tempfile.mkdtemp(prefix="nslens-test-")
        _file_cleanups.insert(0, lambda: shutil.rmtree(_state, ignore_errors=True))
    return _state


def mount_bpf(folder):
    """A BPF filesystem of its own, at @folder, which is made. Who mounts takes it down: unmount_bpf()."""
    os.mkdir(folder)
    run("mount", "-t", "bpf", "none", folder)
    return folder


def unmount_bpf(folder):
    """Everything of nslens in it is detached before."""
    for pins in (entry.name for entry in os.scandir(folder) if entry.is_dir()):
        p = nslens("detach", "--state-dir", tempfile.mkdtemp(dir=state_folder()), "--pin-dir",
                   os.path.join(folder, pins))
        if p.returncode:
            print(f"# cleanup: {p.stderr.strip()}", flush=True)
    run("umount", folder)


_pins = None


def pin_folder(state=None):
    """Where a nslens of this file pins: agents don't share one, so one for each state folder."""
    global _pins
    if _pins is None:
        _pins = mount_bpf(os.path.join(state_folder(), "bpf"))
        _file_cleanups.insert(1, lambda: unmount_bpf(_pins))   # before the state folder, behind the rest
    return os.path.join(_pins, os.path.basename(state or "nslens"))


def public_folder():
    """A folder that any user can read and search, for the running test."""
    folder = tempfile.mkdtemp(prefix="nslens-public-")
    os.chmod(folder, 0o755)
    cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    return folder


class Lines:
    """Lines of a pipe, read by a thread: (arrival in ns of CLOCK_REALTIME, text)."""

    def __init__(self, pipe):
        self.lines, self.ended, self.rest = [], False, b""
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe):
        while True:
            data = os.read(pipe.fileno(), 1 << 20)
            now = time.time_ns()
            if not data:
                break
            *whole, self.rest = (self.rest + data).split(b"\n")
            self.lines.extend((now, line.decode("utf-8", "surrogateescape")) for line in whole)
        self.ended = True

    def join(self, seconds=5):
        self._thread.join(seconds * FACTOR)


class Talk:
    """A running build/test/lib/talk. ready is its first line (pid, netns, local)."""

    def __init__(self, argv, prepare=None, **keywords):
        self.argv = argv
        self.process = start(argv, prepare, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, **keywords)
        self._out = Lines(self.process.stdout)
        self.ready = self.expect("ready")
        self.pid = self.ready["pid"]
        self.port = get(self.ready, "local.port")

    def said(self, event):
        return [o for o in (json.loads(line) for _, line in self._out.lines) if o["event"] == event]

    def expect(self, event, n=1, seconds=15):
        """The n-th line of that kind; Failed if it doesn't come or talk ends before."""
        def arrived():
            return len(self.said(event)) >= n or self._out.ended
        wait_for(arrived, seconds, f"'{event}' from {self}")
        lines = self.said(event)
        if len(lines) < n:
            self.process.wait(5)
            raise Failed(f"{self} ended with {self.process.returncode}, no '{event}': {self.errors()}")
        return lines[n - 1]

    def __str__(self):
        return " ".join(self.argv)

    def errors(self):
        return self.process.stderr.read().decode()

    def go(self):
        """End a pause."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def wait(self, status=0, seconds=20):
        """Wait for its end and return its 'done' lines."""
        try:
            got = self.process.wait(seconds * FACTOR)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self} did not end within {seconds * FACTOR:g} s") from None
        self._out.join()
        if status is not None and got != status:
            raise Failed(f"{self} ended with {got}: {self.errors()}")
        return self.said("done")

    def release(self):
        """End its standard input: a holder leaves its namespace."""
        self.process.stdin.close()


def talk_args(role, options):
    """talk_args("tcp-client", {"port": 1, "send": 2, "fork": True}) -> argv"""
    argv = [TALK, role]
    for key, value in options.items():
        option = "--" + key.replace("_", "-")
        if value is True:
            argv.append(option)
        elif value is not None and value is not False:
            argv += [option, str(value)]
    return argv


# --- namespaces --------------------

def token():
    return secrets.token_hex(4)


class Namespace:
    """A network namespace: with a name under /run/netns, or, without, held by a process alone."""

    def __init__(self, name=None):
        self.name = f"nslens-{token()}" if name is True else name
        if self.name:
            run("ip", "netns", "add", self.name)
            cleanup(self.delete)
            self.path = f"/run/netns/{self.name}"
            self.holder = None
            ready = json.loads(self.run(TALK, "hold", stdin=subprocess.DEVNULL).stdout)
        else:
            self.holder = Talk(["unshare", "-n", TALK, "hold"])
            self.path = f"/proc/{self.holder.pid}/ns/net"
            ready = self.holder.ready
        self.cookie, self.inode = ready["netns"]["cookie"], ready["netns"]["inode"]
        self.run("ip", "link", "set", "lo", "up")

    def enter(self, *argv):
        """argv that runs @argv inside."""
        return ["nsenter", f"--net={self.path}", *argv]

    def run(self, *argv, **keywords):
        return run(*self.enter(*argv), **keywords)

    def start(self, *argv, **keywords):
        return start(self.enter(*argv), **keywords)

    def talk(self, role, wrap=(), prepare=None, cwd=None, **options):
        """Start talk inside; @wrap is an argv that runs it, such as ["unshare", "-p", "-f"]."""
        return Talk(self.enter(*wrap, *talk_args(role, options)), prepare, cwd=cwd)

    def sysctl(self, key, value):
        self.run("sysctl", "-q", "-w", f"{key}={value}")

    def nft(self, rules):
        self.run("nft", "-f", "-", input=rules)

    @property
    def cookies(self):
        return {self.cookie}

    def delete(self):
        if self.holder:
            end_process(self.holder.process)
        elif os.path.exists(self.path):
            run("ip", "netns", "delete", self.name)


def make_cgroup():
    """The path of a new one."""
    mounts = [line.split() for line in open("/proc/self/mountinfo", encoding="utf-8")]
    root = next((m[4] for m in mounts if m[m.index("-") + 1] == "cgroup2"), None)
    if not root:
        skip("no cgroup2 is mounted")
    path = os.path.join(root, f"nslens-test-{token()}")
    os.mkdir(path)
    cleanup(lambda: os.rmdir(path))
    return path


def in_cgroup(path):
    """An argv in front of the one that is to run there."""
    return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', path]


class Host:
    """A namespace with one veth that has an IPv4 and an IPv6 address."""

    def __init__(self, namespace, ip4, ip6, device):
        self.ns, self.ip4, self.ip6, self.device = namespace, ip4, ip6, device


class Bed:
    """Hosts a and b in two namespaces on one network of their own, joined by a veth pair or, bridged,
    by a bridge in a third. The networks are random: an address tells whose traffic it is."""

    def __init__(self, named=False, bridged=False, mtu=1500):
        x, y = random.randrange(64, 255), random.randrange(1, 255)
        self.net4, self.net6 = f"10.{x}.{y}.0/24", f"fd{token()[:2]}:{token()[:4]}::/64"
        self.bridge = Namespace() if bridged else None
        self.a, self.b = (self._host(i, Namespace(named or None)) for i in (1, 2))
        if bridged:
            self.bridge.run("ip", "link", "add", "br0", "type", "bridge")
            self.bridge.run("ip", "link", "set", "br0", "up")
            for i, host in ((1, self.a), (2, self.b)):
                self._cable(host.ns, "v0", self.bridge, f"p{i}", mtu)
                self.bridge.run("ip", "link", "set", f"p{i}", "master", "br0")
        else:
            self._cable(self.a.ns, "v0", self.b.ns, "v0", mtu)
        for host in (self.a, self.b):
            host.ns.run("ip", "address", "add", f"{host.ip4}/24", "dev", "v0")
            host.ns.run("ip", "address", "add", f"{host.ip6}/64", "dev", "v0", "nodad")
        wait_for(self._reachable, 10, "the two hosts reach each other")

    def _host(self, i, namespace):
        ip4, ip6 = (str(ipaddress.ip_network(net)[i]) for net in (self.net4, self.net6))
        return Host(namespace, ip4, ip6, "v0")

    @staticmethod
    def _cable(one, name_one, other, name_other, mtu):
        """One skb a segment: what nft drops is then a segment."""
        settings = ["mtu", str(mtu), "gso_max_segs", "1"]
        one.run("ip", "link", "add", name_one, *settings, "type", "veth",
                "peer", "name", "peer0", *settings)
        moved = other.holder.pid if other.holder else other.name
        one.run("ip", "link", "set", "peer0", "netns", str(moved), "name", name_other)
        one.run("ip", "link", "set", name_one, "up")
        other.run("ip", "link", "set", name_other, "up")

    def _reachable(self):
        pings = (self.a.ns.run("ping", "-c", "1", "-W", "1", ip, check_status=False)
                 for ip in (self.b.ip4, self.b.ip6))
        return all(p.returncode == 0 for p in pings)

    @property
    def cookies(self):
        return {self.a.ns.cookie, self.b.ns.cookie}

    def tcp(self, ip=None, server=None, client=None, listen=None):
        """One TCP conversation from a to b to its end; the 'done' lines of server and client."""
        s = self.b.ns.talk("tcp-server", ip=listen or ip or self.b.ip4, **(server or {}))
        c = self.a.ns.talk("tcp-client", ip=ip or self.b.ip4, port=s.port, **(client or {}))
        return c.wait()[0], s.wait()[0]


class Capture:
    """tshark on a device of a namespace: another witness."""

    def __init__(self, namespace, device, capture_filter=""):
        self.file = os.path.join(state_folder(), f"{token()}.pcapng")
        self._log = tempfile.TemporaryFile()
        self.process = namespace.start(
            "tshark", "-q", "-i", device, "-w", self.file, "-f", capture_filter,
            stdout=subprocess.DEVNULL, stderr=self._log)
        wait_for(self._capturing, 20, "tshark captures")

    def _capturing(self):
        self._log.seek(0)
        return b"Capturing on" in self._log.read() and os.path.exists(self.file) \
            and os.path.getsize(self.file) > 0

    def rows(self, *fields):
        options = [word for field in fields for word in ("-e", field)]
        out = run("tshark", "-r", self.file, "-T", "fields", *options, check_status=False).stdout
        return [tuple(line.split("\t")) for line in out.splitlines()]

    def stop(self, *fields, until=lambda rows: True):
        """The packets' fields once until(rows) holds; what is in flight to the file is waited for."""
        try:
            wait_for(lambda: until(self.rows(*fields)), 10, "tshark has all packets")
        finally:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(10 * FACTOR)
        return self.rows(*fields)


# --- nslens observe --------------------

class Observe:
    """A running `nslens observe -o json [FILTER...]`.

    It is ready when it has shown a conversation that was made for this purpose on loopback, at a port
    of its own; with a filter, "or port = P" is added to it. Those events are left out of events.
    @near: beds and namespaces; without a filter, theirs is "netns = ...": what others do on the host
    at the same time is not the test's concern. With a filter, other namespaces' events are left out.
    @wrap: an argv that runs it, such as ["unshare", "-m"].
    """

    def __init__(self, *filter_words, options=(), near=(), wrap=(), seconds=10):
        self.cookies = set().union(*(one.cookies for one in near)) if near else None
        self.events, self._n_read = [], 0       # [(arrival_ns, event)]
        self.problems = []
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(16)
            self._ready_port = listener.getsockname()[1]
            self._start(wrap, filter_words, options)
            self._ready = False
            try:
                wait_for(lambda: self._converse(listener), seconds, "nslens observe is ready")
            except Failed as e:
                end_process(self.process)
                status = self.process.returncode
                raise Failed(f"{e}; status {status}, it said: {self.stderr()}") from None

    def _start(self, wrap, filter_words, options):
        words = []
        if self.cookies and not filter_words:
            filter_words = [" or ".join(f"netns = {cookie}" for cookie in sorted(self.cookies))]
        if filter_words:
            words = [f"({' '.join(filter_words)}) or port = {self._ready_port}"]
        self._stderr = tempfile.TemporaryFile()
        self.argv = [*wrap, *observe_argv("-o", "json", *options, *words)]
        self.process = start(self.argv, stdout=subprocess.PIPE, stderr=self._stderr)
        self._out = Lines(self.process.stdout)

    def _converse(self, listener):
        """One conversation on loopback; True once any of them was shown."""
        if self.process.poll() is not None:
            raise Failed("it ended")
        with socket.socket() as client:
            client.connect(listener.getsockname())
            listener.accept()[0].close()
        time.sleep(0.02)
        self._take()
        return self._ready

    def first_ns(self):
        """When its first line came, CLOCK_REALTIME."""
        return self._out.lines[0][0]

    def stderr(self):
        self._stderr.seek(0)
        return self._stderr.read().decode().strip()

    def _take(self):
        """Parse the lines that arrived since, and sort out those that are not the test's."""
        lines = self._out.lines
        while self._n_read < len(lines):
            arrival, text = lines[self._n_read]
            self._n_read += 1
            try:
                event = json.loads(text)
            except ValueError as e:
                self.problems.append(f"not JSON ({e}): {text[:200]}")
                continue
            if self._is_own(event):
                self.events.append((arrival, event))

    def _is_own(self, event):
        """Is it the test's, rather than of the conversations that show readiness, or of others?"""
        if get(event, "event.dataset") != "nslens.flow":
            return True
        if (get(event, "destination.port"), get(event, "network.transport")) == (self._ready_port, "tcp"):
            self._ready = True
            return False
        return self.cookies is None or bool(self.cookies & {
            get(event, "source.netns.cookie"), get(event, "destination.netns.cookie")})

    def all(self, predicate=lambda event: True):
        """The events so far for which the predicate holds."""
        self._take()
        return [event for _, event in self.events if predicate(event)]

    def wait(self, predicate, seconds=5, what="an event", n=1):
        """The events for which the predicate holds, at least n; with n = 1 the first one itself."""
        def found():
            events = self.all(predicate)
            return events if len(events) >= n else None
        try:
            events = wait_for(found, seconds, what)
        except Failed as e:
            status = self.process.poll()
            if status is not None:
                raise Failed(f"{e}; nslens ended with {status}: {self.stderr()}") from None
            last = "\n".join(json.dumps(event) for _, event in self.events[-4:])
            raise Failed(f"{e}; the last events were:\n{last}") from None
        return events[0] if n == 1 else events

    def conversation(self, client_line, action="close", seen_by=("destination", "source"),
                     seconds=5):
        """The record of an action of a conversation, by the client's 'done' or 'paused' line of talk.
        Two records, one of each end, are joined as a reader would, and must agree on the flow's id."""
        belongs = by_ports(client_line, action)

        def complete():
            records = self.all(belongs)
            seen = {s for r in records for s in get(r, "flow.seen_by", [])}
            return records if seen >= set(seen_by) else None
        try:
            what = f"{action} of {ports_of(client_line)}, seen by {seen_by}"
            records = wait_for(complete, seconds, what)
        except Failed as e:
            so_far = "\n".join(map(json.dumps, self.all(by_ports(client_line))))
            raise Failed(f"{e}; its records so far:\n{so_far}") from None
        return join_records(records)

    def stop(self, number=signal.SIGINT, status=0, seconds=10):
        """End it; returns the line of totals. All lines are checked against the schema."""
        self.process.send_signal(number)
        try:
            self.process.wait(seconds * FACTOR)
        except subprocess.TimeoutExpired:
            raise Failed(f"nslens did not end within {seconds * FACTOR:g} s of {number}") from None
        self._out.join()
        self._take()
        same(self.process.returncode, status, "status of nslens observe; it said: " + self.stderr())
        self.check_lines()
        totals = [e for _, e in self.events if is_totals(e)]
        same(len(totals), 1, "one line of totals")
        check(is_totals(json.loads(self._out.lines[-1][1])), "the totals are the last line")
        return totals[0] if totals else {}

    def check_lines(self, at_most=3000):
        """No broken lines, and each fits the schema."""
        same(self._out.rest, b"", "what follows the last newline")
        errors = [f"{e}\n{json.dumps(event)}" for _, event in self.events[:at_most]
                  for e in schema_errors(event)]
        check(not errors, f"{len(errors)} lines don't fit the schema, the first", errors[:1])
        check(not self.problems, "lines that can't be read", self.problems[:3])


def is_totals(event):
    return get(event, "event.dataset") == "nslens.totals"


def is_lost(event):
    return get(event, "event.dataset") == "nslens.lost"


def end_without_loss(watch):
    """Stop it, return its totals."""
    totals = watch.stop()
    same(watch.all(is_lost), [], "losses")
    same(get(totals, "totals.lost"), 0, "lost in the totals")
    return totals


def ports_of(client_line):
    return get(client_line, "local.port"), get(client_line, "remote.port")


def by_ports(client_line, action=None, transport=None):
    """A predicate: a flow event of the conversation that talk's client line describes."""
    source, destination = ports_of(client_line)

    def belongs(event):
        return (get(event, "event.dataset") == "nslens.flow" and get(event, "source.port") == source
                and get(event, "destination.port") == destination
                and (action is None or get(event, "event.action") == action)
                and (transport is None or get(event, "network.transport") == transport))
    return belongs


def join_records(records):
    """One record out of those of both ends: each side from who saw it."""
    joined = json.loads(json.dumps(records[0]))
    for record in records[1:]:
        same(get(record, "flow.id"), get(joined, "flow.id"), "flow.id of the two ends' records")
        for side in get(record, "flow.seen_by", []):
            if side not in joined["flow"]["seen_by"]:
                joined[side] = record[side]
                joined["flow"]["seen_by"] = sorted([*joined["flow"]["seen_by"], side])
        joined["flow"] = {**record["flow"], **joined["flow"]}
    return joined
