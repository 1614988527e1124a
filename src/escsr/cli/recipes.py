"""`escsr recipes` with list, show and diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from escsr.cli.charts import curve
from escsr.cli.console import OUT, plain, print_json, print_table

if TYPE_CHECKING:
    from escsr.training.config import TrainingConfig

__all__ = ["recipes"]

recipes = typer.Typer(
    help="List, show and compare training recipes. Without a command: list.", add_completion=False
)

_COLUMNS = 72

SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as in `escsr train`."),
]
NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Recipe, or a file (.json, .toml). NAME@paper: one of the paper's as its text has it, where "
        "the authors' code differs.",
    ),
]


@recipes.callback(invoke_without_command=True)
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_recipes()


@recipes.command("list")
def list_recipes() -> None:
    """List the recipes, with the time that each takes here."""
    from escsr.runtime.processor import num_cores
    from escsr.training.recipes import GROUPS, about, recipe
    from escsr.training.recipes.duration import estimate_seconds, spoken

    table = Table("recipe", "time here", "what it trains", box=None, pad_edge=False)
    for number, (title, names) in enumerate(GROUPS.items()):
        if number:
            table.add_row()
        table.add_row(plain(title), style="bold")
        seconds = {name: estimate_seconds(recipe(name)) for name in names}
        for name in sorted(names, key=seconds.__getitem__):
            table.add_row(name, spoken(seconds[name]), plain(about(name).splitlines()[0]))
    print_table(table)
    cores = "1 core" if num_cores() == 1 else f"{num_cores()} cores"
    OUT.print(f"\ntime here: roughly, on the CPU of this computer ({cores}); a GPU is much faster.")
    OUT.print("`escsr recipes show NAME` shows the settings of one, and what it is expected to reach.")


@recipes.command()
def show(
    name: NameArgument,
    settings: SettingsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of all settings instead.")
    ] = False,
    all_settings: Annotated[
        bool, typer.Option("--all", help="Also show settings that have no effect in this recipe.")
    ] = False,
) -> None:
    """Show the settings of a recipe, where each is from, and its learning rate as a curve."""
    from escsr.training.config import flat
    from escsr.training.hints import without_effect
    from escsr.training.recipes import about, recipe, source_of

    begun = recipe(name)
    config = begun.with_settings(settings or ())
    if as_json or schema:
        values = config.model_json_schema() if schema else config.to_dict()
        print_json(values)
        return
    OUT.print(plain(about(name)) + "\n")
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    before, idle = flat(begun.to_dict()), without_effect(config)
    for key, value in flat(config.to_dict()).items():
        if not all_settings and key.startswith(tuple(idle)):
            continue
        changed = value != before.get(key)
        table.add_row(key, plain(value), "--set" if changed else source_of(name, key))
    print_table(table)
    if idle and not all_settings:
        OUT.print("Settings without effect in this recipe are hidden; --all shows them.")
    OUT.print()
    for line in _learning_rate(config):
        OUT.print(line)


@recipes.command()
def diff(
    name: NameArgument,
    other: Annotated[
        str | None,
        typer.Argument(
            metavar="OTHER", help="Recipe to compare with. If not given: NAME@paper, or a file's base."
        ),
    ] = None,
) -> None:
    """Show in which settings two recipes differ."""
    from escsr.training.config import flat
    from escsr.training.recipes import recipe, source_of

    other = _counterpart(name) if other is None else other
    one, two = (flat(recipe(each).to_dict()) for each in (name, other))
    table = Table("setting", name, other, "from", box=None, pad_edge=False)
    for key in one | two:
        if key != "name" and one.get(key) != two.get(key):
            sources = " | ".join(source_of(each, key) for each in (name, other))
            table.add_row(key, plain(one.get(key)), plain(two.get(key)), sources)
    print_table(table)


def _counterpart(name: str) -> str:
    from escsr.errors import ConfigError
    from escsr.training.recipes.files import base_of, is_recipe_file

    if not is_recipe_file(name):
        return f"{name}@paper"
    base = base_of(name)
    if base is None:
        raise ConfigError(f"{name}: a file without a base has no paper's text to compare with; give OTHER.")
    return base


def _learning_rate(config: TrainingConfig) -> list[str]:
    from escsr.training.schedule import learning_rate_at

    steps = [max(1, round((column + 0.5) * config.iterations / _COLUMNS)) for column in range(_COLUMNS)]
    rates = [learning_rate_at(step, config) for step in steps]
    ends = (1, config.iterations)
    first, last = (f"{learning_rate_at(step, config):.3g} at step {step:,}" for step in ends)
    peak = f"learning rate, at most {max(rates):.3g}"
    return [peak, *curve(rates), f"{first}{last:>{max(1, _COLUMNS - len(first))}}"]
