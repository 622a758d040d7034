#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The lines that the encoders write, and those that the documentation shows, fit the schema; the
schema is strict, and test/lib/validate notices what doesn't fit."""
import copy
import glob
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNIT = os.path.join(ROOT, os.environ.get("B", "build"), "test/unit")
SCHEMA = os.path.join(ROOT, "doc/schema/nslens.schema.json")
n_tests = failed = 0


def report(ok, name, text=""):
    global n_tests, failed
    n_tests += 1
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {n_tests} - {name}")
    for line in text.splitlines() if not ok else []:
        print("# " + line)


def lines_of(test):
    """What a unit test's program prints of its samples."""
    return subprocess.run([os.path.join(UNIT, test), "--lines"], stdout=subprocess.PIPE,
                          check=False).stdout


def validate(data, *args):
    """Exit status and output of the tool on these bytes."""
    done = subprocess.run([os.path.join(ROOT, "test/lib/validate"), *args], input=data,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def line(value):
    return json.dumps(value).encode() + b"\n"


def loose_objects(node, path=""):
    """Places of the schema that describe an object and let unknown members in."""
    if isinstance(node, dict):
        if node.get("type") == "object" and node.get("additionalProperties", True) is True:
            yield path
        for key, value in node.items():
            yield from loose_objects(value, f"{path}/{key}")
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from loose_objects(value, f"{path}/{i}")


def examples():
    """The indented examples of the documents that are JSON: (document, text)."""
    for path in sorted(glob.glob(os.path.join(ROOT, "doc/json*.md"))):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for block in re.findall(r"(?:^    .*\n)+", text, re.M):
            if block.lstrip().startswith("{"):
                yield os.path.basename(path), block


def changed(value, path, new=None):
    """A copy with the member at the path replaced, or removed."""
    value = copy.deepcopy(value)
    at = value
    *parents, last = path.split(".")
    for key in parents:
        at = at[key]
    if new is None:
        del at[last]
    else:
        at[last] = new
    return value


def check_schema():
    with open(SCHEMA, encoding="utf-8") as f:
        schema = json.load(f)
    loose = list(loose_objects(schema["$defs"]))
    report(not loose, "the schema lets no unknown member in", "\n".join(loose))


def check_lines(lines):
    status, text = validate(lines)
    report(status == 0, "the encoders' lines fit the schema", text)
    whole = [json.loads(x) for x in lines.splitlines()]
    kinds = {x["event"]["dataset"] for x in whole}
    actions = {x["event"]["action"] for x in whole}
    report(kinds == {"nslens.flow", "nslens.lost", "nslens.finding", "nslens.totals"}
           and actions >= {"open", "update", "close", "fail"}, "they are of every kind",
           f"{kinds} {actions}")
    return whole


def check_devices(lines):
    status, text = validate(lines, "device")
    report(status == 0, "the devices' lines fit the schema", text)
    whole = [json.loads(x) for x in lines.splitlines()]
    hooks = {h["state"] for x in whole for h in x["hooks"]}
    states = {x["coverage"]["state"] for x in whole}
    report(hooks == {"waiting", "attached", "starved", "failed"}
           and states == {"full", "partial", "none"}, "they are of every state", f"{hooks} {states}")


def check_examples():
    found = list(examples())
    wrong = []
    for name, block in found:
        try:
            status, text = validate(line(json.loads(block)))
        except ValueError as e:
            status, text = 1, str(e)
        if status:
            wrong.append(f"{name}: {text}\n{block}")
    report(found and not wrong, "the examples of the documents fit the schema", "\n".join(wrong))


def check_tool(flow):
    bad = {
        "a required member is missing": line(changed(flow, "flow.id")),
        "a member is unknown": line(changed(flow, "source.colour", "red")),
        "a string is empty": line(changed(flow, "source.process.name", "")),
        "an unknown number is 0": line(changed(flow, "source.process.pid", 0)),
        "a number is text": line(changed(flow, "source.bytes", "1")),
        "a time has no nanoseconds": line(changed(flow, "@timestamp", "2026-01-01T12:00:00Z")),
        "an action has another type": line(changed(flow, "event.action", "open")),
        "a duration stands without a start": line(changed(flow, "event.start")),
        "the dataset is unknown": line(changed(flow, "event.dataset", "nslens.other")),
        "a member stands twice": b'{"a":1,"a":2}\n',
        "it is no JSON": b"{\n",
        "it is no UTF-8": line(flow).replace(b"curl", b"\xff"),
        "the last newline is missing": line(flow)[:-1],
        "there is no line": b"",
    }
    for name, data in bad.items():
        status, text = validate(data)
        report(status == 1 and text, "validate notices that " + name, text or "it said nothing")
    status, text = validate(line(flow) + b"{}\n" + line(flow))
    report(status == 1 and text.startswith("line 2: "), "validate tells the first wrong line", text)
    status, text = validate(line(flow), "lost")
    report(status == 1, "validate wants the kind that it is asked for", text)
    status, text = validate(line(flow), "nonsense")
    report(status == 2, "validate refuses a kind that is none", text)


def main():
    check_schema()
    whole = check_lines(lines_of("test_event_json"))
    check_devices(lines_of("test_device_rows"))
    check_examples()
    check_tool(next(x for x in whole if x["event"]["action"] == "close"))
    print(f"1..{n_tests}")
    return failed > 0


sys.exit(main())
