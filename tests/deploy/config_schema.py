"""The part of the chart's values.schema.json that is the program's own: what `config` may hold.

`python tests/deploy/config_schema.py` writes it anew from `$TAGSWEEP config --schema`; a test finds it out of date.
"""

import json
import os
import pathlib
import subprocess

CHART = pathlib.Path(__file__).parents[2] / "helm" / "tagsweep"
FILE = CHART / "values.schema.json"


def expected() -> dict:
    """The schema of a configuration file, without the keys that hold a secret themselves."""
    command = [os.environ["TAGSWEEP"], "config", "--schema"]
    schema = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    for section in schema["properties"].values():
        keys = section["properties"]
        section["properties"] = {name: key for name, key in keys.items() if not key.get("writeOnly")}
    for of_the_file in ("$schema", "$id", "title"):
        del schema[of_the_file]
    return schema


if __name__ == "__main__":
    values = json.loads(FILE.read_text())
    values["properties"]["config"] = expected()
    FILE.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
