"""Every example of a docstring is true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import torch

import escsr

NAMES = sorted(
    module.name
    for module in pkgutil.walk_packages(escsr.__path__, "escsr.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["escsr", *NAMES])
def test_examples_of(name: str) -> None:
    module = importlib.import_module(name)
    known = {**vars(module), "escsr": escsr, "np": np, "torch": torch}
    results = doctest.testmod(module, extraglobs=known, optionflags=doctest.ELLIPSIS)
    assert not results.failed


def test_there_are_examples() -> None:
    modules = map(importlib.import_module, NAMES)
    tests = [test for module in modules for test in doctest.DocTestFinder().find(module)]
    assert sum(len(test.examples) > 0 for test in tests) > 10
