#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""nslens detach: what is pinned is gone afterwards, what runs has ended, and what isn't ours stays."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from nslens_test import *  # noqa: E402,F403

# A mount namespace of its own with a BPF filesystem of its own, for as long as stdin is open.
HOLD = 'mount -t bpf none /sys/fs/bpf && mkdir -p /sys/fs/bpf/nslens/deep && echo ready && cat'


class Place:
    """A private BPF filesystem with pins in it, and a state folder."""

    def __init__(self):
        self.state = tempfile.mkdtemp(dir=state_folder())
        self.holder = start(["unshare", "--mount", "sh", "-c", HOLD], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
        same(self.holder.stdout.readline(), b"ready\n", "the BPF filesystem")

    def run(self, *argv, **keywords):
        """With its own /sys/fs/bpf, so nothing says where pins are."""
        keywords.setdefault("env", os.environ)
        return run("nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", *argv, **keywords)

    def tool(self, *args):
        return self.run("bpftool", *args)

    def id_of(self, kind, path):
        return json.loads(self.tool("-j", kind, "show", "pinned", path).stdout)["id"]

    def tree(self):
        """All there is, but what the kernel puts there by itself."""
        paths = self.run("find", "/sys/fs/bpf").stdout.splitlines()
        return [path for path in paths if not path.endswith(".debug")]

    def argv(self, *args):
        return [NSLENS, "detach", "--state-dir", self.state, *args]

    def detach(self, *args, **keywords):
        return self.run(*self.argv(*args), check_status=False, **keywords)

    def lines(self, *args, status=0):
        """The lines of JSON; all fit the schema."""
        p = self.detach("-o", "json", *args)
        same(p.returncode, status, f"status; it said {p.stderr}")
        lines = [json.loads(line) for line in p.stdout.splitlines()]
        same([e for line in lines for e in schema_errors(line)], [], "the schema's opinion")
        return lines

    def pin_map(self, path):
        self.tool("map", "create", path, "type", "array", "key", "4", "value", "8", "entries", "1",
                  "name", "nslens_test")


@once
def program_object():
    """An object with a program that lets all packets of a cgroup pass."""
    source = os.path.join(state_folder(), "x.bpf.c")
    with open(source, "w", encoding="ascii") as f:
        f.write('#define IN(name) __attribute__((section(name), used))\n'
                'IN("cgroup_skb/egress") int pass(void *c) { return 1; }\n'
                'IN("license") char LICENSE[] = "GPL";\n')
    clang = shutil.which("clang-19") or shutil.which("clang")
    run(clang, "-target", "bpf", "-O2", "-g", "-c", source, "-o", source + ".o")
    return source + ".o"


def ids(kind):
    return {x["id"] for x in json.loads(run("bpftool", "-j", kind, "list").stdout)}


def links_of(program):
    return [x for x in json.loads(run("bpftool", "-j", "link", "list").stdout)
            if x["prog_id"] == program]


def gone(kind, number):
    wait_for(lambda: number not in ids(kind), 5, f"{kind} {number} is gone")


@test("maps, programs and folders are unpinned, and then gone from the kernel; others' pins stay")
def _():
    place = Place()
    place.pin_map("/sys/fs/bpf/nslens/deep/map")
    place.pin_map("/sys/fs/bpf/other")
    place.tool("prog", "load", program_object(), "/sys/fs/bpf/nslens/program")
    program = place.id_of("prog", "/sys/fs/bpf/nslens/program")
    table = place.id_of("map", "/sys/fs/bpf/nslens/deep/map")
    lines = place.lines()
    told = {(get(x, "detach.kind"), get(x, "detach.id"), get(x, "detach.path")) for x in lines[:-1]}
    same(told, {("map", table, "/sys/fs/bpf/nslens/deep/map"),
                ("program", program, "/sys/fs/bpf/nslens/program"),
                ("folder", None, "/sys/fs/bpf/nslens/deep"),
                ("folder", None, "/sys/fs/bpf/nslens")}, "what it told")
    expect(lines[-1], {"event.action": "totals", "detach.removed": 4, "detach.reason": None}, "the end")
    same(place.tree(), ["/sys/fs/bpf", "/sys/fs/bpf/other"], "what is left")
    gone("prog", program)
    gone("map", table)
    lines = place.lines()
    same(len(lines), 1, "lines of the second time")
    expect(lines[0], {"detach.removed": 0, "detach.reason": "nothing is pinned"}, "the second time")


def link_on_cgroup(place):
    """A cgroup and a pinned program: (code that attaches it by a pinned link, cgroup, program)."""
    cgroup = make_cgroup()
    code = ("import ctypes, os, sys\n"
            "bpf = ctypes.CDLL('libbpf.so.1', use_errno=True)\n"
            "prog = bpf.bpf_obj_get(b'/sys/fs/bpf/program')\n"
            "group = os.open(sys.argv[1], os.O_RDONLY)\n"
            "link = bpf.bpf_link_create(prog, group, 1, None)\n"
            "assert link >= 0, link\n"
            "assert not bpf.bpf_obj_pin(link, b'/sys/fs/bpf/nslens/deep/link')\n"
            "os.close(prog); print('ready', flush=True)\n"
            "if sys.argv[2] == 'hold': sys.stdin.read()\n")
    place.tool("prog", "load", program_object(), "/sys/fs/bpf/program")
    return code, cgroup, place.id_of("prog", "/sys/fs/bpf/program")


@test("a link is detached and unpinned, even where another process holds it")
def _():
    for hold in ("", "hold"):
        place = Place()
        code, cgroup, program = link_on_cgroup(place)
        holder = start(["nsenter", f"--mount=/proc/{place.holder.pid}/ns/mnt", sys.executable, "-c",
                        code, cgroup, hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        same(holder.stdout.readline(), b"ready\n", "the link")
        if not hold:
            holder.wait(10)
        link = links_of(program)[0]["id"]
        attached = json.loads(run("bpftool", "-j", "cgroup", "list", cgroup).stdout)
        same([x["id"] for x in attached], [program], "what is attached before")
        told = [x["detach"] for x in place.lines() if get(x, "detach.kind") == "link"]
        same(told, [{"kind": "link", "id": link, "path": "/sys/fs/bpf/nslens/deep/link"}], "told")
        left = run("bpftool", "-j", "cgroup", "list", cgroup).stdout.strip()
        check(left in ("", "[]"), "nothing is attached afterwards", left)
        if not hold:
            gone("link", link)
        end_process(holder)


@test("text says what went, and that nothing is left")
def _():
    place = Place()
    place.pin_map("/sys/fs/bpf/nslens/map")
    p = place.detach()
    same((p.returncode, p.stderr), (0, ""), "status and errors")
    lines = p.stdout.splitlines()
    same(lines[-1], "nothing of nslens is left", "the last line")
    check(any(x.startswith("unpinned  map ") and x.endswith("/sys/fs/bpf/nslens/map") for x in lines),
          "the map's line", p.stdout)
    p = place.detach()
    same((p.returncode, p.stdout.count("\n")), (0, 1), "status and lines of the second time")
    check(p.stdout.startswith("nothing to detach"), "the second time", p.stdout)


@test("no BPF filesystem: it says so, and that is no failure")
def _():
    state = tempfile.mkdtemp(dir=state_folder())
    p = run("unshare", "--mount", "sh", "-c", 'umount -a -t bpf; exec "$@"', "sh", NSLENS, "detach",
            "--state-dir", state, env=os.environ)
    check("no BPF filesystem" in p.stdout, "what it says", p.stdout)
    same(p.stderr, "", "errors")


@test("a folder of another filesystem is not touched")
def _():
    folder = tempfile.mkdtemp(dir=state_folder())
    with open(os.path.join(folder, "precious"), "w", encoding="ascii") as f:
        f.write("x")
    p = nslens("detach", "--state-dir", state_folder(), "--pin-dir", folder)
    same((p.returncode, p.stdout, p.stderr.count("\n")), (1, "", 1), "status, output, lines")
    check(folder in p.stderr, "it names the folder", p.stderr)
    same(os.listdir(folder), ["precious"], "what is in the folder")


@test("an agent ends when it is asked to, its clients get their totals, and its files go")
def _():
    place = Place()
    agent = start([NSLENS, "run", "--state-dir", place.state], stdout=subprocess.PIPE)
    check(b"watching" in agent.stdout.readline(), "the agent is ready")
    client = start([NSLENS, "observe", "-o", "json", "--state-dir", place.state],
                   stdout=subprocess.PIPE)
    output = Lines(client.stdout)
    wait_for(lambda: get(status_of(place.state), "agent.clients", 0) >= 2, 10, "the client is there")
    lines = place.lines()
    expect(lines[0], {"detach.kind": "agent", "detach.pid": agent.pid, "detach.path": place.state},
           "the first line")
    same({get(x, "detach.path") for x in lines if get(x, "detach.kind") == "file"},
         {os.path.join(place.state, "agent.lock")}, "files")
    same(agent.wait(1), 0, "status of the agent")
    same(client.wait(5), 0, "status of the client")
    output.join()
    check(is_totals(json.loads(output.lines[-1][1])), "the client's last line", output.lines[-1:])
    same(os.listdir(place.state), [], "what is in the state folder")


def status_of(state):
    p = run(NSLENS, "status", "-o", "json", "--state-dir", state, check_status=False)
    return json.loads(p.stdout) if p.returncode == 0 else {}


@test("a dead agent's files go; without privileges nothing does, and one line says why")
def _():
    place = Place()
    agent = start([NSLENS, "run", "--state-dir", place.state], stdout=subprocess.PIPE)
    agent.stdout.readline()
    agent.kill()
    agent.wait()
    same(sorted(os.listdir(place.state)), ["agent.lock", "agent.sock"], "what it left")
    kinds = [get(x, "detach.kind") for x in place.lines()]
    same(kinds, ["file", "file", "folder", "folder", None], "what went")
    same(os.listdir(place.state), [], "what is in the state folder")
    place = Place()
    place.pin_map("/sys/fs/bpf/nslens/map")
    p = place.run("setpriv", "--reuid", "65534", "--clear-groups", shutil.copy(NSLENS, public_folder()),
                  "detach", "--state-dir", public_folder(), check_status=False)
    same((p.returncode, p.stdout, p.stderr.count("\n")), (1, "", 1), "status, output, lines")
    check("root" in p.stderr, "what it says", p.stderr)
    check("/sys/fs/bpf/nslens/map" in place.tree(), "the pin is there")


main()
