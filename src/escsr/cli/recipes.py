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
    help="Training recipes: what there is, where each value is from, how two differ.", add_completion=False
)

_COLUMNS = 72

SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value, as for `escsr train`."),
]
NameArgument = Annotated[
    str, typer.Argument(help="Recipe; one of the paper with @paper for its text's values.")
]


@recipes.callback(invoke_without_command=True)
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_recipes()


@recipes.command("list")
def list_recipes() -> None:
    """List the recipes."""
    from escsr.training.recipes import RECIPES, about, recipe

    table = Table("recipe", "iterations", "what it is", box=None, pad_edge=False)
    for name in RECIPES:
        table.add_row(name, f"{recipe(name).iterations:,}", about(name).splitlines()[0])
    print_table(table)


@recipes.command()
def show(
    name: NameArgument,
    settings: SettingsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of all settings instead.")
    ] = False,
) -> None:
    """Show every value of a recipe with its source, and draw its learning rate."""
    from escsr.training.config import flat
    from escsr.training.recipes import about, recipe, source_of

    begun = recipe(name)
    config = begun.with_settings(settings or ())
    if as_json or schema:
        values = config.model_json_schema() if schema else config.to_dict()
        print_json(values)
        return
    OUT.print(plain(about(name)) + "\n")
    table = Table("value", "", "source", box=None, pad_edge=False)
    before = flat(begun.to_dict())
    for key, value in flat(config.to_dict()).items():
        changed = value != before.get(key)
        table.add_row(key, plain(value), "--set" if changed else source_of(name, key))
    print_table(table)
    OUT.print()
    for line in _learning_rate(config):
        OUT.print(line)


@recipes.command()
def diff(
    name: NameArgument,
    other: Annotated[
        str | None, typer.Argument(help="Recipe to compare with; else the paper's text of the first.")
    ] = None,
) -> None:
    """Show in which values two recipes differ."""
    from escsr.training.config import flat
    from escsr.training.recipes import recipe, source_of

    other = f"{name}@paper" if other is None else other
    one, two = (flat(recipe(each).to_dict()) for each in (name, other))
    table = Table("value", name, other, "source", box=None, pad_edge=False)
    for key in one | two:
        if key != "name" and one.get(key) != two.get(key):
            sources = " | ".join(source_of(each, key) for each in (name, other))
            table.add_row(key, plain(one.get(key)), plain(two.get(key)), sources)
    print_table(table)


def _learning_rate(config: TrainingConfig) -> list[str]:
    from escsr.training.schedule import learning_rate_at

    steps = [max(1, round((column + 0.5) * config.iterations / _COLUMNS)) for column in range(_COLUMNS)]
    rates = [learning_rate_at(step, config) for step in steps]
    ends = (1, config.iterations)
    first, last = (f"{learning_rate_at(step, config):.3g} at step {step:,}" for step in ends)
    peak = f"learning rate, at most {max(rates):.3g}"
    return [peak, *curve(rates), f"{first}{last:>{max(1, _COLUMNS - len(first))}}"]
