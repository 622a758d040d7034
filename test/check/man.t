#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The manual page and the program agree: each command has a section, and each option that the help of
a command shows stands in its section or among OPTIONS; nor does the page promise what isn't there.
In the page a command's section is "## COMMAND ...", an option is *-x* or *--name*.
"""
import os
import re
import subprocess

import rule

PAGE = "man/nslens.8.scd"
PROGRAM = os.path.join(os.environ.get("B", "build"), "nslens")
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*", re.I)


def output(tree, *args):
    done = subprocess.run([os.path.join(tree.root, PROGRAM), *args], check=False, text=True, timeout=20,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def sections(text):
    """({command: options}, options of all commands), as the page has them."""
    commands, general, here = {}, set(), None
    for line in text.splitlines():
        if line.startswith("# "):
            here = general if line == "# OPTIONS" else None
        elif line.startswith("## "):
            here = commands.setdefault(line.split()[1].strip("*"), set())
        elif here is not None:
            here.update(re.findall(r"\*(--?[A-Za-z][a-z-]*)[*=]", line))
    return commands, general


def help_options(text):
    """Options at the begin of a line: '  -o, --output FORMAT  what it does'."""
    found = set()
    for line in text.splitlines():
        begin = re.match(r"\s+(-.*?)(\s{2,}|$)", line.replace(",  ", ", "))
        if begin:
            found.update(OPTION.findall(begin[1]))
    return found


def differences(command, shown, described, general):
    for option in sorted(shown - described - general):
        yield PAGE, 0, f"'nslens {command} --help' shows {option}, the page doesn't"
    for option in sorted(described - shown):
        yield PAGE, 0, f"{option} is described for {command}, which doesn't have it"


def check(tree):
    if PAGE not in tree.paths:
        yield PAGE, 0, "there is no manual page"
        return
    status, text = output(tree)
    commands = re.findall(r"^  (\w+)  +\S", text, re.M)
    described, general = sections(tree.read(PAGE))
    if status:
        yield PROGRAM, 0, f"exit status {status}"
    for command in described.keys() - set(commands):
        yield PAGE, 0, f"nslens has no command {command}"
    anywhere = set()
    for command in commands:
        status, text = output(tree, command, "--help")
        if status:
            yield PROGRAM, 0, f"'{command} --help' ends with status {status}"
        if command not in described:
            yield PAGE, 0, f"command {command} has no section"
        shown = help_options(text)
        anywhere |= shown
        yield from differences(command, shown, described.get(command, set()), general)
    for option in sorted(general - anywhere):
        yield PAGE, 0, f"no command has {option}, which stands among OPTIONS"


def check_page(tree):
    yield from check(tree)
    for path in tree.files("man/*.scd"):
        with open(tree.full(path), "rb") as page:
            done = subprocess.run(["scdoc"], stdin=page, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, check=False)
        if done.returncode:
            yield path, 0, done.stderr.decode().strip()


HELP = """#!/bin/sh
case $* in
"") echo "nslens 1: text"; echo; echo "  go           walks"; echo "  sit          rests" ;;
"go --help") echo "usage: go"; echo "  -f, --for DURATION       how long, or --never"
	     echo "      --far                more"; echo "  -h, --help  this" ;;
"sit --help") echo "  -h, --help  this" ;;
esac
"""
MAN = """nslens(8)

# NAME

nslens - a test

# COMMANDS

## go

*-f*, *--for* _DURATION_
	How long. See *--never*, or don't.

*--far*
	More.

## sit

Rest.

# OPTIONS

*-h*, *--help*
	Help.
""".replace(" See *--never*, or don't.", "")


def pair(page, program=HELP):
    return {PAGE: page, PROGRAM: program}


rule.main("the manual page agrees with the program", check_page, pair(MAN), {
    "an option without text": pair(MAN, HELP.replace("--far ", "--fast")),
    "an option described under another command": pair(MAN.replace("*--far*", "near").replace(
        "Rest.", "*--far*\n\tMore.")),
    "an option that doesn't exist": pair(MAN.replace("Rest.", "*--deep*\n\tMore.")),
    "a section of no command": pair(MAN.replace("## sit", "## run\n\nIt runs.\n\n## sit")),
    "a general option that no command has": pair(MAN + "\n*--all*\n\tAll.\n"),
    "a command without a section": pair(MAN.replace("## sit\n", "")),
    "a help that fails": pair(MAN, HELP.replace('"go --help")', '"sit --help") exit 1 ;;\n"go --help")')),
    "a page that doesn't compile": pair(MAN + "\n### too deep\n"),
    "a missing page": {"README.md": ""},
})
