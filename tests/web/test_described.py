"""Requests drawn from the description of the API, wrong ones above all: never an error of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from web.serving import Served

OPERATIONS = [
    ("POST", "/jobs"),
    ("GET", "/jobs/{id}"),
    ("GET", "/jobs/{id}/events"),
    ("GET", "/jobs/{id}/result"),
    ("DELETE", "/jobs/{id}"),
    ("GET", "/models"),
    ("GET", "/about"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("POST", "/token"),
]
TAKE_SOMETHING = ("/jobs", "/jobs/{id}", "/jobs/{id}/events", "/jobs/{id}/result", "/token")
DRAWN = settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_operations_are_those_described(served: Served) -> None:
    paths = served.client.get("/openapi.json").json()["paths"]
    assert {(m.upper(), path) for path, methods in paths.items() for m in methods} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [(*operation, GenerationMode.POSITIVE) for operation in OPERATIONS]
    + [(*operation, GenerationMode.NEGATIVE) for operation in OPERATIONS if operation[1] in TAKE_SOMETHING],
)
@pytest.mark.parametrize("count", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_no_errors_of_the_server(
    served: Served, method: str, path: str, mode: GenerationMode, count: int
) -> None:
    schema = schemathesis.openapi.from_dict(served.client.get("/openapi.json").json())
    schema.config.update(base_url=served.url)
    described = {int(status) for status in schema[path][method].definition.raw["responses"]}
    seen = []

    @settings(DRAWN, max_examples=count)
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        answer = case.call(base_url=served.url, timeout=60)
        assert answer.status_code < 500, answer.text
        assert answer.status_code in {*described, 405}, answer.text
        seen.append(answer.status_code)

    check()
    assert seen


@settings(DRAWN, max_examples=20)
@given(
    name=st.text(max_size=30),
    content=st.binary(max_size=300),
    options=st.dictionaries(
        st.sampled_from(
            ["model", "scale", "width", "size", "fit", "format", "quality", "strip", "longest"]
        ),
        st.one_of(st.text(max_size=20), st.integers().map(str), st.floats().map(str)),
    ),
)
def test_no_errors_with_a_real_picture_and_odd_options(
    served: Served, photo: Path, name: str, content: bytes, options: dict[str, str]
) -> None:
    for body in (content, photo.read_bytes()):
        answer = served.client.post("/jobs", files={"file": (name, body)}, data=options)
        assert answer.status_code in (202, 413, 415, 422), answer.text
        if answer.status_code == 202:
            served.client.delete(f"/jobs/{answer.json()['id']}")
        else:
            assert answer.json()["error"]
