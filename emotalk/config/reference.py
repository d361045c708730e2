"""The reference of all settings and their JSON schema, for readers and editors.

`python -m emotalk.config.reference config` writes `config/README.md` and `config/schema.json`.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from emotalk.config.config import Config, Recipe
from emotalk.config.description import format_values, settings
from emotalk.config.reading import read_file

_HEAD = """# Settings

Values come from, in this order: the defaults, the recipe's file `config/recipes/<recipe>.yaml`, `config/config.yaml`,
your own file (`--configfile my.yaml`), the command line (`--config recipe=paper 'train={epochs: 40}'`, values in YAML).
Unknown settings are refused. Your own file needs only what differs:

```yaml
recipe: paper
data: /path/to/3D-ETF
```

Made by `python -m emotalk.config.reference config`, from `emotalk/config`.

| setting | default | recipes | values | meaning |
| --- | --- | --- | --- | --- |
"""


def json_schema() -> dict[str, Any]:
    """JSON schema of a user's file, in which nothing is required: recipes and defaults set the rest."""
    schema = Config.model_json_schema()
    for section in [schema, *schema["$defs"].values()]:
        section.pop("required", None)
    return schema


def reference(recipes: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown table of every setting: its name, default, values in recipes, allowed values and meaning."""
    rows = [
        (f"`{path}`", _default(schema), _differing(path, recipes), format_values(schema), schema["description"])
        for path, schema in settings(Config)
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return _HEAD + "\n".join(lines) + "\n"


def _default(schema: Mapping[str, Any]) -> str:
    if schema.get("type") == "object":
        return ""
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else ""


def _differing(path: str, recipes: Mapping[str, Mapping[str, Any]]) -> str:
    found = {name: value for name, recipe in recipes.items() if (value := _value(recipe, path)) is not None}
    return "<br>".join(f"{name}: `{json.dumps(value)}`" for name, value in found.items())


def _value(recipe: Mapping[str, Any], path: str) -> Any:
    """A recipe's own value of a setting; None for sections."""
    value: Any = recipe
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return None if isinstance(value, Mapping) and path not in ("split", "model.content_encoder.sizes") else value


def _write(folder: Path) -> None:
    recipes = {name: read_file(folder / f"recipes/{name}.yaml") for name in get_args(Recipe)}
    (folder / "README.md").write_text(reference(recipes), encoding="utf-8")
    schema = json.dumps(json_schema(), indent=1, ensure_ascii=False)
    (folder / "schema.json").write_text(schema + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
