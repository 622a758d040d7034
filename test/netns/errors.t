#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong is said in one line, with the right status, and nothing is left behind."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403


NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def one_line(p, status, *words):
    """It ended with @status, nothing on stdout, one line on stderr that has @words."""
    same((p.returncode, p.stdout), (status, ""), f"status and output of {' '.join(p.args)}")
    check(len(p.stderr.splitlines()) == 1 and p.stderr.startswith("nslens"), "one line", p.stderr)
    for word in words:
        check(word in p.stderr, f"it says '{word}'", p.stderr)


def public_nslens():
    """The program where any user can start it."""
    return shutil.copy(NSLENS, public_folder())


@test("not root: says which capabilities are missing")
def _():
    p = run(*NOBODY, public_nslens(), "observe", check_status=False,
            env=environment(NSLENS_STATE_DIR="/nonexistent"))
    one_line(p, 1, "CAP_BPF", "root")


@test("root without some capabilities: names those")
def _():
    bounding = "-bpf,-sys_admin,-perfmon,-net_admin"
    p = run("setpriv", "--bounding-set", bounding, *observe_argv(), check_status=False)
    one_line(p, 1, "CAP_BPF")


@test("unknown command, option, format and time: status 2, and the way out")
def _():
    one_line(nslens("obsrve"), 2, "obsrve")
    one_line(nslens("observe", "--fro", "1s"), 2, "--fro")
    one_line(nslens("observe", "-o", "xml"), 2, "xml", "json")
    one_line(nslens("observe", "--for", "soon"), 2, "soon")
    one_line(nslens("observe", "--for"), 2, "--for")


@test("help needs no rights, and names each option")
def _():
    p = run(*NOBODY, public_nslens(), "observe", "--help")
    for word in ("--for", "-o", "--no-args", "port"):
        check(word in p.stdout, f"the help names {word}", p.stdout)
    same(p.stderr, "", "stderr")


@test("--for ends it by itself, with the totals last")
def _():
    begin = time.monotonic()
    p = run(*observe_argv("-o", "json", "--for", "1s"), check_status=False)
    took = time.monotonic() - begin
    same((p.returncode, p.stderr), (0, ""), "status and errors")
    check(1 <= took < 1 + 4 * FACTOR, "seconds that it took", took)
    last = json.loads(p.stdout.splitlines()[-1])
    check(is_totals(last), "the last line", last)
    same(schema_errors(last), [], "the schema's opinion of it")
    check(get(last, "event.duration") >= 10**9, "ns that it observed", get(last, "event.duration"))
    p = run(*observe_argv("--for", "300ms"))
    check(p.stdout and not p.stdout.startswith("{"), "text output", p.stdout)


@test("no BTF: one line, and how to get it")
def _():
    hide = 'mount -t tmpfs none /sys/kernel/btf && exec "$@"'
    p = run("unshare", "-m", "sh", "-c", hide, "sh", *observe_argv(), check_status=False)
    one_line(p, 1, "BTF", "CONFIG_DEBUG_INFO_BTF")


@test("no cgroup2: says what can't be seen, and shows the rest")
def _():
    mounts = run("findmnt", "-n", "-o", "TARGET", "-t", "cgroup2").stdout.split()
    if not mounts:
        skip("no cgroup2 is mounted")
    bed = Bed()
    hide = "umount -l " + " ".join(mounts) + ' && exec "$@"'
    watch = Observe(near=[bed], wrap=["unshare", "-m", "sh", "-c", hide, "sh"])
    check("not seen: UDP" in watch.stderr(), "it says what it can't see", watch.stderr())
    c, _s = bed.tcp(client={"send": 12, "recv": 0})
    expect(watch.conversation(c), {"source.bytes": 12, "source.process.pid": c["pid"],
                                   "source.process.cgroup": None}, "the close")
    watch.stop()


@test("SIGINT and SIGTERM end it in order")
def _():
    for number in (signal.SIGINT, signal.SIGTERM):
        Observe().stop(number)


@test("a closed pipe ends it quietly")
def _():
    ns = Namespace()
    for form in ("json", "text"):
        with tempfile.TemporaryFile() as errors:
            p = start(observe_argv("-o", form), stdout=subprocess.PIPE, stderr=errors)

            def talk():
                s = ns.talk("tcp-server", ip="127.0.0.1")
                ns.talk("tcp-client", ip="127.0.0.1", port=s.port, recv=0).wait()
                s.wait()
            lines = Lines(p.stdout)
            wait_for(lambda: talk() or lines.lines, 10, f"the first line of {form}")
            os.dup2(os.open("/dev/null", os.O_RDONLY), p.stdout.fileno())
            wait_for(lambda: talk() or p.poll() is not None, 10, "its end")
            errors.seek(0)
            same((p.returncode, errors.read()), (0, b""), f"status and errors, {form}")


@test("an output that takes no more: one line, status 1")
def _():
    with open("/dev/full", "w", encoding="ascii") as full:
        p = subprocess.run(observe_argv("-o", "json", "--for", "1s"), stdout=full, text=True,
                           stderr=subprocess.PIPE, timeout=20 * FACTOR)
    same(p.returncode, 1, "status")
    check(len(p.stderr.splitlines()) == 1 and "No space" in p.stderr, "one line", p.stderr)


@test("SIGKILL changes nothing for a connection, and the next start is clean")
def _():
    bed = Bed()
    server = bed.b.ns.talk("tcp-server", ip=bed.b.ip4, send=5000)
    client = bed.a.ns.talk("tcp-client", ip=bed.b.ip4, port=server.port, send=70000, recv=5000,
                           pause="connected,close")
    client.expect("paused")
    watch = Observe(near=[bed])
    watch.process.kill()
    watch.process.wait()
    client.go()
    client.expect("paused", 2)
    again = Observe(near=[bed])
    client.go()
    c, s = client.wait()[0], server.wait()[0]
    same((c["received"], s["received"], c.get("error")), (5000, 70000, None), "the conversation")
    expect(again.conversation(c), {"source.bytes": 70000, "destination.bytes": 5000}, "the close")
    again.stop()


@test("nothing stays behind: no program, map or link of an observer that ended")
def _():
    watch = Observe()
    held = bpf_of(watch.process.pid)
    check(len(held) > 3, "it holds programs while it runs", held)
    watch.stop()
    wait_for(lambda: not held & bpf_ids(), 10, "its programs are gone")


def bpf_ids():
    return {p["id"] for p in json.loads(run("bpftool", "-j", "prog", "list").stdout)}


def bpf_of(pid):
    """The ids of the programs that process @pid holds."""
    ids = set()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as f:
            fields = dict(line.split(":", 1) for line in f if ":" in line)
        if "prog_id" in fields:
            ids.add(int(fields["prog_id"]))
    return ids


main()
