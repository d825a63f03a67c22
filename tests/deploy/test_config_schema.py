"""The schema and the default file of a configuration fit each other, and the tools that users have for both read them."""

import json
import os
import pathlib
import subprocess
import tomllib

import pytest

CONFIG = pathlib.Path(__file__).parents[2] / "config"


def printed(option: str) -> str:
    command = [os.environ["TAGSWEEP"], "config", option]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def run(*command) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path):
    """A folder as a user makes it: the schema beside the default file, whose first line names it."""
    (tmp_path / "schema.json").write_text(printed("--schema"))
    (tmp_path / "config.toml").write_text(printed("--default"))
    return tmp_path


def checked(folder) -> dict:
    """The exit codes of a JSON Schema tool, and of a TOML tool that finds the schema by itself."""
    file = folder / "config.toml"
    return {
        "check-jsonschema": run("check-jsonschema", "--schemafile", folder / "schema.json", file),
        "tombi": run("tombi", "lint", "--offline", file),
    }


def test_the_files_in_the_repository_are_those_of_the_program():
    assert (CONFIG / "schema.json").read_text() == printed("--schema")
    assert (CONFIG / "default.toml").read_text() == printed("--default")


def test_the_schema_is_one_and_has_a_name(folder):
    checked = run("check-jsonschema", "--check-metaschema", folder / "schema.json")
    assert checked.returncode == 0, checked.stdout
    assert json.loads(printed("--schema"))["$id"] == "urn:tagsweep:config"


def test_the_default_file_is_valid(folder):
    for tool, ended in checked(folder).items():
        assert ended.returncode == 0, (tool, ended.stdout, ended.stderr)


def test_every_key_has_a_description_a_type_and_the_default_of_the_default_file():
    defaults = tomllib.loads(printed("--default"))
    sections = json.loads(printed("--schema"))["properties"]
    for section, shape in sections.items():
        for name, key in shape["properties"].items():
            assert len(key["description"]) > 10, (section, name)
            assert key["type"], (section, name)
            assert key.get("default") == defaults[section].get(name), (section, name)
            if key["type"] == "integer":
                assert {"minimum", "maximum"} <= key.keys(), (section, name)


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("max_ids = 100", "max_ids = 101"),
        ("max_ids = 100", 'max_ids = "100"'),
        ("max_ids = 100", "max_id = 100"),
        ('max_wait = "500ms"', 'max_wait = "500"'),
        ('max_wait = "500ms"', "max_wait = 500"),
        ('missing_account = "done"', 'missing_account = "ignore"'),
        ("declare = true", 'declare = "true"'),
        ('listen = "127.0.0.1:9464"', 'listen = "127.0.0.1"'),
        ("[window]", "[windows]"),
    ],
)
def test_a_wrong_value_is_found_by_the_schema(folder, right, wrong):
    file = folder / "config.toml"
    text = file.read_text()
    assert f"\n{right}\n" in text
    file.write_text(text.replace(f"\n{right}\n", f"\n{wrong}\n"))
    for tool, ended in checked(folder).items():
        assert ended.returncode != 0, (tool, ended.stdout, ended.stderr)
