#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/deps.sh on made-up machines: fake /etc, and fake apt-get, apt-cache, dpkg-query and id."""
import os
import subprocess
import sys
import tempfile

import rule

DEPS = os.path.join(rule.repository().root, "scripts/deps.sh")

# Packages "installed" and "available" are lines of files; apt-get notes how it was called in "calls".
FAKES = {
    "id": 'echo "${FAKE_UID:-0}"',
    "uname": "echo x86_64",
    "apt-get": """
echo "$*" >>"$FAKE/calls"
case " $* " in
*" update "*)
	[ ! -e "$FAKE/update-fails" ] || exit 100
	grep -rq bookworm-backports "$DEPS_ROOT/etc/apt" || exit 0
	[ ! -e "$FAKE/no-backports" ] || exit 100
	echo "release o=Debian,n=bookworm-backports" >"$FAKE/policy" ;;
*" install "*) ! [ -e "$FAKE/install-fails" ] || exit 100
	for p in "$@"; do echo "$p"; done >>"$FAKE/installed" ;;
esac""",
    "apt-cache": """
if [ $# = 1 ]; then
	cat "$FAKE/policy"
	exit
fi
if [ "$1" = pkgnames ]; then
	grep "^$2" "$FAKE/available"
	exit 0
fi
grep -qxF "$2" "$FAKE/available" && echo "  Candidate: 1.0" || echo "  Candidate: (none)" """,
    "dpkg-query": """
case $3 in
*Version*) cat "$FAKE/libbpf-version" ;;
*) shift 3
	for p in "$@"; do grep -qxF "$p" "$FAKE/installed" && echo "$p installed"; done
	true ;;
esac""",
}

DEBIAN12 = 'PRETTY_NAME="Debian 12"\nID=debian\nVERSION_CODENAME=bookworm\n'
DEBIAN13 = 'PRETTY_NAME="Debian 13"\nID=debian\nVERSION_CODENAME=trixie\n'
UBUNTU = 'PRETTY_NAME="Ubuntu 24.04"\nID=ubuntu\nVERSION_CODENAME=noble\n'
KEY = "/usr/share/keyrings/a.gpg"
SOURCES = f"""\
# a comment
Types: deb-src
URIs: http://src.example/debian
Suites: bookworm

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm

Types: deb deb-src
URIs: http://a.example/debian
Suites: bookworm-updates
 bookworm
Components: main
Signed-By: {KEY}

Types: deb
URIs: http://later.example/debian
Suites: bookworm
"""
STANZA = """\
Types: deb
URIs: http://a.example/debian
Suites: bookworm-backports
Components: main
"""


class Machine:
    """A machine that was just installed; what each test changes, it says."""

    def __init__(self, folder, release=DEBIAN12, sources=None, installed=(), available=("clang-19", "clang-format-14")):
        self.folder = folder
        self.env = {"PATH": folder + "/bin:" + os.environ["PATH"], "DEPS_ROOT": folder, "FAKE": folder}
        self.put("etc/os-release", release)
        self.put("installed", "\n".join(installed) + "\n")
        self.put("available", "\n".join(available) + "\n")
        self.put("libbpf-version", "1.1.0")
        self.put("policy", "")
        for name, text in (sources or {"sources.list.d/debian.sources": SOURCES}).items():
            self.put("etc/apt/" + name, text)
        for name, text in FAKES.items():
            self.put("bin/" + name, "#!/bin/sh\n" + text + "\n")
            os.chmod(folder + "/bin/" + name, 0o755)

    def put(self, path, text):
        full = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)

    def get(self, path):
        full = os.path.join(self.folder, path)
        if not os.path.exists(full):
            return ""
        with open(full, encoding="utf-8") as f:
            return f.read()

    def run(self, step="build", status=0, **env):
        """Run deps.sh, return stderr; it must end with status, and with one line if that isn't 0."""
        done = subprocess.run(["sh", DEPS, step], env={**self.env, **env}, check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == status, f"exit status {done.returncode}: {done.stderr}"
        assert not status or done.stderr.count("\n") == 1, f"more than one line: {done.stderr}"
        return done.stderr

    def calls(self):
        return self.get("calls")

    def backports(self):
        return self.get("etc/apt/sources.list.d/nslens-backports.sources")


def equal(have, want):
    assert have == want, f"have {have!r}, want {want!r}"


def within(part, whole):
    assert part in whole, f"no {part!r} in {whole!r}"


def not_within(part, whole):
    assert part not in whole, f"{part!r} in {whole!r}"


def test_debian12_sources(folder):
    m = Machine(folder)
    m.run()
    equal(m.backports(), STANZA + f"Signed-By: {KEY}\n")
    within("-t bookworm-backports libbpf-dev bpftool\n", m.calls())
    within("clang-19", m.calls())


def test_debian12_list(folder):
    text = ("deb cdrom:[Debian]/ bookworm main\ndeb-src http://src.example/debian bookworm main\n"
            f"deb [arch=amd64 signed-by={KEY}] http://a.example/debian bookworm main contrib\n")
    m = Machine(folder, sources={"sources.list": text})
    m.run()
    equal(m.backports(), STANZA + f"Signed-By: {KEY}\n")


def test_debian12_list_without_key(folder):
    m = Machine(folder, sources={"sources.list": "deb http://a.example/debian bookworm main\n"})
    m.run()
    equal(m.backports(), STANZA)


def test_inline_key(folder):
    key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc=\n -----END PGP PUBLIC KEY BLOCK-----\n"
    text = "Types: deb\nURIs: http://a.example/debian\nSuites: bookworm\n" + key + "Components: main\n"
    m = Machine(folder, sources={"sources.list.d/a.sources": text})
    m.run()
    equal(m.backports(), STANZA + key)


def test_backports_are_there(folder):
    text = SOURCES.replace("bookworm-updates\n", "bookworm-updates bookworm-backports\n")
    m = Machine(folder, sources={"sources.list.d/a.sources": text})
    m.run()
    equal(m.backports(), "")
    within("-t bookworm-backports", m.calls())


def test_no_source(folder):
    m = Machine(folder, sources={"sources.list": "deb http://a.example/debian sid main\n"})
    within("add it by hand", m.run(status=1))


def test_mirror_without_backports(folder):
    m = Machine(folder)
    m.put("no-backports", "")
    within("no bookworm-backports", m.run(status=1))
    equal(m.backports(), "")


def test_update_fails(folder):
    m = Machine(folder)
    m.put("update-fails", "")
    within("apt-get update failed", m.run(status=1))


def test_install_fails(folder):
    m = Machine(folder)
    m.put("install-fails", "")
    within("could not install: ca-certificates", m.run(status=1))


def test_nothing_missing(folder):
    m = Machine(folder)
    m.run("test")
    m.put("libbpf-version", "1.4.6")
    m.put("calls", "")
    m.run("test")
    m.run("build")
    equal(m.calls(), "")


def test_one_missing(folder):
    m = Machine(folder)
    m.run("test")
    m.put("libbpf-version", "1.4.6")
    m.put("calls", "")
    m.put("installed", m.get("installed").replace("uthash-dev\n", ""))
    m.run("test")
    equal(m.calls().splitlines()[-1].split("--no-install-recommends ")[1], "uthash-dev")


def test_not_root(folder):
    m = Machine(folder)
    within("not root, and missing: libbpf-dev bpftool", m.run(status=1, FAKE_UID="1000"))
    equal(m.calls(), "")


def test_no_clang(folder):
    m = Machine(folder, available=["clang-16"])
    within("Debian 12 has none of the packages clang-19", m.run(status=1))


def test_runtime_of_the_clang(folder):
    m = Machine(folder, installed=["clang-17"], available=["clang-19", "clang-format"])
    m.run("test")
    within("libclang-rt-17-dev", m.calls())
    not_within("clang-19", m.calls())


def test_debian13(folder):
    m = Machine(folder, release=DEBIAN13, available=["clang-19", "bpftool", "clang-format"])
    m.put("libbpf-version", "1.5.0")
    m.run("test")
    equal(m.backports(), "")
    within("libbpf-dev bpftool\n", m.calls())
    within("clang-format\n", m.calls())


def test_ubuntu(folder):
    m = Machine(folder, release=UBUNTU,
                available=["clang-18", "linux-tools-generic", "clang-format-14", "clang-format"])
    m.put("libbpf-version", "1:1.3.0-2build2")
    m.run("test")
    equal(m.backports(), "")
    within("libbpf-dev linux-tools-generic\n", m.calls())
    within("libclang-rt-18-dev", m.calls())
    within("clang-format-14\n", m.calls())


def test_old_libbpf(folder):
    m = Machine(folder, release=UBUNTU, available=["clang-18", "bpftool"])
    m.put("libbpf-version", "1.1.0")
    within("older than 1.3", m.run(status=1))


def test_vm(folder):
    m = Machine(folder)
    m.run("vm")
    within("qemu-system-x86", m.calls())
    equal(m.backports(), STANZA + f"Signed-By: {KEY}\n")


def test_vm_kernel_is_known(folder):
    for release in (DEBIAN12, UBUNTU):
        m = Machine(folder, release=release, available=["linux-image-6.12.9+deb12-amd64"])
        m.run("vm")
        equal(m.backports(), "")


def test_usage(folder):
    within("usage", Machine(folder).run("nothing", status=2))


def main():
    tests = [(n[5:], f) for n, f in globals().items() if n.startswith("test_")]
    failed = 0
    print(f"1..{len(tests)}")
    for i, (name, test) in enumerate(tests, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(folder)
                print(f"ok {i} - {name}")
            except AssertionError as e:
                failed = 1
                print(f"not ok {i} - {name}\n# " + str(e).replace("\n", "\n# "))
    sys.exit(failed)


main()
