# SPDX-License-Identifier: Apache-2.0
"""A rule of the house, checked by script.

A rule is a function that takes a Tree and yields (path, line, what is wrong). main() applies it to
the repository and, so that a rule that can't fail is noticed, to small trees of examples: one that
it must pass, and bad ones that it must complain about. The output is TAP.
"""
import fnmatch
import os
import subprocess
import sys
import tempfile


class Tree:
    """The files of a folder; paths are relative to it."""

    def __init__(self, root, paths):
        self.root = root
        self.paths = sorted(paths)

    def files(self, *patterns):
        return [p for p in self.paths if any(fnmatch.fnmatch(p, x) for x in patterns)]

    def full(self, path):
        return os.path.join(self.root, path)

    def read(self, path):
        with open(self.full(path), encoding="utf-8") as f:
            return f.read()

    def lines(self, path):
        return enumerate(self.read(path).splitlines(), 1)


def repository():
    """What git tracks or would track; without git, every file outside build/ and hidden folders."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        out = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        paths = out.stdout.decode().split("\n")
    except (OSError, subprocess.CalledProcessError):
        paths = []
        for folder, folders, names in os.walk(root):
            folders[:] = [d for d in folders if d == ".ci" or not d.startswith((".", "build"))]
            paths += [os.path.relpath(os.path.join(folder, n), root) for n in names]
    return Tree(root, [p for p in paths if os.path.isfile(os.path.join(root, p))])


def example(folder, files):
    for path, text in files.items():
        full = os.path.join(folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(full, 0o755 if text.startswith("#!") else 0o644)
    return Tree(folder, files)


def complaints(rule, files):
    with tempfile.TemporaryDirectory() as folder:
        return list(rule(example(folder, files)))


def report(number, name, wrong):
    print(f"{'not ok' if wrong else 'ok'} {number} - {name}")
    for path, line, text in wrong:
        print(f"# {path}:{line}: {text}" if line else f"# {path}: {text}")
    return bool(wrong)


def main(name, rule, good, bad):
    """good: {path: text}. bad: {what: {path: text}}, each of which must get a complaint."""
    print(f"1..{2 + len(bad)}")
    tree = repository()
    failed = report(1, name, list(rule(tree)))
    failed |= report(2, "the rule accepts a good example", complaints(rule, good))
    for i, (what, files) in enumerate(bad.items(), 3):
        missed = [] if complaints(rule, files) else [(next(iter(files)), 0, "no complaint")]
        failed |= report(i, f"the rule finds {what}", missed)
    sys.exit(failed)
