"""The table of values in the chart's README.md: the comment above each value in values.yaml.

`python tests/deploy/values_table.py` writes it anew; a test finds it out of date.
"""

import json
import pathlib
import re

import yaml

CHART = pathlib.Path(__file__).parents[2] / "helm" / "tagsweep"
README = CHART / "README.md"
HEAD = "| value | default | meaning |\n|---|---|---|\n"


def leaves(tree, path=""):
    """The values that have no named values below them, by their dotted names."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def comments():
    """The comment above each key, by its dotted name."""
    found, path, above = {}, [], []
    for line in (CHART / "values.yaml").read_text().splitlines():
        indent, text = re.match(r"( *)(.*)", line).groups()
        if text.startswith("# "):
            above.append(text.removeprefix("# "))
            continue
        if key := re.match(r"(\w+):", text):
            path = [*path[: len(indent) // 2], key[1]]
            found[".".join(path)] = " ".join(above)
        above = []
    return found


def expected():
    meanings = comments()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = [
        f"| `{name}` | `{json.dumps(default)}` | {meanings[name].replace('|', chr(92) + '|')} |".replace("|  |", "| |")
        for name, default in leaves(values)
    ]
    return HEAD + "\n".join(rows) + "\n"


def written():
    """What stands before the table, and the table."""
    text = README.read_text()
    start = text.index(HEAD)
    return text[:start], text[start:]


if __name__ == "__main__":
    before, _ = written()
    README.write_text(before + expected())
