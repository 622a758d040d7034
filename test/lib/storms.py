# SPDX-License-Identifier: Apache-2.0
"""Storms: loads as hard as the host can make them (build/test/lib/storm), an agent in them, and the
tally of what it reported (build/test/lib/tally)."""
from nslens_test import *  # noqa: F403

STORM, TALLY = (os.path.join(BUILD, "test/lib", name) for name in ("storm", "tally"))
CLIENTS, EACH = 8, 300      # at once; conversations of a namespace


def say(text):
    """Figures, for who reads the output."""
    print(f"# {text}", flush=True)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Storm:
    """A running storm; end() is its last line."""

    def __init__(self, *args):
        self.ledger = os.path.join(state_folder(), f"{token()}.ledger")
        self._errors = tempfile.TemporaryFile()
        with open(self.ledger, "wb") as out:
            self.process = start([STORM, *map(str, args)], stdin=subprocess.PIPE, stdout=out,
                                 stderr=self._errors)

    def lines(self):
        with open(self.ledger, encoding="ascii") as f:
            return [json.loads(line) for line in f]

    def end(self, seconds):
        self.process.wait(seconds * FACTOR)
        self._errors.seek(0)
        same((self.process.returncode, self._errors.read().decode()), (0, ""), "the storm's end")
        return self.lines()[-1]


class Conversations(Storm):
    """Eight clients that talk TCP or UDP for so long; rate 0: as fast as they can."""

    def __init__(self, kind, seconds, each=EACH, rate=0):
        self.seconds = seconds
        super().__init__("converse", kind, CLIENTS, seconds, each, rate)

    def end(self, seconds=30):
        self.took = super().end(self.seconds + seconds)["seconds"]
        spaces = self.lines()[:-1]
        self.n, self.n_namespaces = sum(line["conversations"] for line in spaces), len(spaces)
        self.rate = self.n / self.took
        return self


class Agent:
    """A running `nslens run`."""

    def __init__(self, *options):
        self.process = start([NSLENS, "run", "--state-dir", state_folder(), *options],
                             stdout=subprocess.PIPE)
        self.pid = self.process.pid
        wait_for(lambda: self.process.stdout.readline(), 20, "the agent is ready")

    def status(self):
        return json.loads(nslens("status", "-o", "json").stdout)

    def rest(self):
        """Until all that happened up to now was told: some rounds of emptying the ring."""
        drains = get(self.status(), "pipeline.drains")
        wait_for(lambda: get(self.status(), "pipeline.drains") > drains + 10, 20, "an agent at rest")

    def lost(self):
        return {k: n for k, n in get(self.status(), "lost.by_reason").items() if n}

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1]) * 1024

    def alive(self):
        return check(self.process.poll() is None, "the agent lives")

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        same(self.process.wait(20 * FACTOR), 0, "status of the agent")


def one_conversation():
    """TCP on loopback."""
    with socket.socket() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client.connect(listener.getsockname())
        listener.accept()[0].close()


class Tally:
    """A running `nslens observe -o json`, by itself or from an agent, and who counts its lines."""

    def __init__(self, *options):
        self.ledgers = os.path.join(state_folder(), f"{token()}.ledgers")
        self.observe = start(observe_argv("-o", "json", *options), stdout=subprocess.PIPE)
        # As ready to run as nslens: what reads slower than is written, loses.
        self.counts = start([TALLY, self.ledgers], stdin=self.observe.stdout,
                            stdout=subprocess.PIPE, prepare=lambda: os.nice(-15))
        self.observe.stdout.close()
        self._out = Lines(self.counts.stdout)
        self.pid = self.observe.pid
        wait_for(self._is_ready, 20, "the first line of nslens observe")

    def _is_ready(self):
        one_conversation()
        return self._out.lines

    def end(self, *storms):
        """End it; the verdicts on each of the storms, and what was lost by reason."""
        with open(self.ledgers, "w", encoding="ascii") as f:
            f.writelines(storm.ledger + "\n" for storm in storms)
        self.observe.send_signal(signal.SIGINT)
        same(self.observe.wait(60 * FACTOR), 0, "status of nslens observe")
        self.counts.wait(120 * FACTOR)
        self._out.join()
        lines = [json.loads(text) for _, text in self._out.lines]
        for storm, line in zip(storms, (e for e in lines if e["event"] == "ledger")):
            storm.verdict = line
        return lines[-1]


def check_whole(storm, text):
    """Each of its conversations was reported, at both ends, with all that belongs to them; by two lines
    with one id, where an end came so much later that the other did not wait for it."""
    verdict = {k: n for k, n in storm.verdict.items() if n and k not in ("event", "apart")}
    return same(verdict, {"conversations": storm.n, "whole": storm.n}, text)
