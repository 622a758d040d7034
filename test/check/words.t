#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""No unfinished work, no trace of one developer's machine, no name that says nothing."""
import re

import rule

# Written apart, so that this file passes its own rule.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
MACHINE = re.compile(r"(?<![\w.])/(home|Users|work|root)/\w|(?<![\w.])/tmp/[w]t\b")
MIRROR = re.compile(r"\b(deb\.deb" r"ian\.org|(archive|security|ports)\.ub" r"untu\.com|"
                    r"(registry|mirror|proxy|artifactory|nexus)\.[\w-]+\.[\w.-]+|"
                    r"pypi\.(org|python\.org)|registry\.np" r"mjs\.org)\b")
URL = re.compile(r"https?://([\w.-]+)")
# Hosts that a text may point a reader to, and those that exist only in examples.
HOSTS = re.compile(r"(www\.)?(elastic\.co|kernel\.org|docs\.kernel\.org|lore\.kernel\.org|apache\.org|"
                   r"spdx\.org|json-schema\.org|semver\.org|keepachangelog\.com|github\.com|"
                   r"prometheus\.io|openmetrics\.io|opentelemetry\.io|rfc-editor\.org|w3\.org|"
                   r"localhost|[\w.-]+\.(example|test|invalid)|example\.(com|org|net)|[\d.]+)\.?")
EMPTY_NAMES = {"common", "util", "utils", "misc", "helper", "helpers", "manager"}
BINARY = ("*.png", "*.gif", "*.ico", "*.pcap", "*.bin", "*.gz", "test/fuzz/seeds/*", "LICENSES/*")


def wrong_line(line):
    found = UNFINISHED.search(line)
    if found:
        return f"{found[0]}: do it or leave it out"
    found = MACHINE.search(line)
    if found:
        return f"{found[0]}...: a path of one machine"
    found = MIRROR.search(line)
    if found:
        return f"{found[0]}: derive the host from the machine's configuration"
    for host in URL.findall(line):
        if not HOSTS.fullmatch(host):
            return f"{host}: not among the hosts that texts may name"
    return None


def wrong_name(path):
    for part in re.split(r"[/._-]", path):
        if part.lower() in EMPTY_NAMES:
            return f"'{part}' says nothing about what is in it"
    return None


def check(tree):
    binary = set(tree.files(*BINARY))
    for path in tree.paths:
        text = wrong_name(path)
        if text:
            yield path, 0, text
        if path in binary:
            continue
        for number, line in tree.lines(path):
            text = wrong_line(line)
            if text:
                yield path, number, text


rule.main("no banned words", check, {
    "src/a/table.c": "/* see https://docs.kernel.org/bpf/ */\nopen(\"/tmp/x\");\n",
}, {
    "unfinished work": {"src/a/a.c": "/* TO" "DO: later */\n"},
    "a home directory": {"README.md": "cd /ho" "me/me/nslens\n"},
    "a mirror": {"scripts/a.sh": "apt=deb.deb" "ian.org\n"},
    "a registry": {"doc/a.md": "pull from registry." "corp.internal/x\n"},
    "an unknown host": {"doc/a.md": "http:" "//a.somewhere.cloud/apt\n"},
    "a file name that says nothing": {"src/base/util" "s.c": "int a;\n"},
    "a folder name that says nothing": {"src/com" "mon/a.c": "int a;\n"},
})
