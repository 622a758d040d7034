#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Headers say what their functions do: a comment above each, or above the group it stands in (a
group ends with an empty line). Each header guards itself by its path.
"""
import re

import rule

FUNCTION = re.compile(r"(?!(typedef|struct \w+ \{|union|enum|return|else|_Static_assert|static_assert)\b)"
                      r"[A-Za-z_][\w\s\*]*?[\s\*](?P<name>\w+)\s*\(")


def bare_functions(tree, path):
    """Functions in a group that no comment heads; one that belongs to a comment at its side counts."""
    commented = False
    depth = 0
    for number, line in tree.lines(path):
        if not line:
            commented = commented and depth > 0
        elif line.startswith(("/*", " *", "//")):
            commented = True
        elif depth == 0 and not line.startswith(("#", "\t", "}", "{")):
            found = FUNCTION.match(line)
            if found and not commented and "/*" not in line:
                yield number, found["name"]
        if not line.startswith(("#", "/*", " *")):
            depth += line.count("{") - line.count("}")


def check(tree):
    for path in tree.files("src/*.h"):
        for number, name in bare_functions(tree, path):
            yield path, number, f"{name}() has no comment"
        guard = "NSLENS_" + re.sub(r"\W", "_", path[len("src/"):]).upper()
        text = tree.read(path)
        short = re.sub(r"NSLENS_(\w+)_\1(_BPF)?_H", r"NSLENS_\1\2_H", guard)
        if not any(f"#ifndef {g}\n#define {g}\n" in text for g in (guard, short)):
            yield path, 0, f"no guard {guard}"


def header(path, text):
    guard = "NSLENS_" + path.replace("/", "_").replace(".", "_").upper()
    return {f"src/{path}": f"#ifndef {guard}\n#define {guard}\n\n{text}\n#endif\n"}


rule.main("headers comment their functions", check, header("a/b.h", """\
/* What it is. */
struct a {
	int (*run)(int x);
};

/* Do it, and undo it. */
int a_do(struct a *a);
void a_undo(struct a *a);

struct a *a_new(void); /* NULL: no memory */

/* How many. */
static inline int a_count(const struct a *a)
{
	int n = 0;

	if (a)
		n = a_more(a);
	return n;
}
"""), {
    "a bare prototype": header("a/b.h", "int a_do(struct a *a);\n"),
    "a bare prototype behind a commented group": header("a/b.h", "/* X. */\nint a(void);\n\nint b(void);\n"),
    "a bare inline function": header("a/b.h", "static inline int a(void)\n{\n\treturn 1;\n}\n"),
    "a pointer that is returned": header("a/b.h", "const char *a(void);\n"),
    "a missing guard": {"src/a/b.h": "/* X. */\nint a(void);\n"},
})
