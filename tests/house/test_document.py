"""The OpenAPI document: valid, complete, the same as the committed one, and its examples are true to its schemas."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from contract import described as kept
from contract import document
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from engage.core import openapi

ROOT = Path(__file__).parents[2]
METHODS = ("get", "put", "post", "delete")


def _operations():
    return [
        pytest.param(described, id=described["operationId"])
        for path in document()["paths"].values()
        for method, described in path.items()
        if method in METHODS
    ]


def _example(entry):
    """Follow an example to where it is kept."""
    return document()["components"]["examples"][entry["$ref"].rsplit("/", 1)[1]]


each_operation = pytest.mark.parametrize("described", _operations())


def test_the_committed_document_is_the_generated_one():
    expected = openapi.as_yaml(document())
    assert (ROOT / "openapi.yaml").read_text(encoding="utf-8") == expected, "run: engage openapi write"


def test_the_served_document_is_the_same_in_both_forms_and_names_the_service_itself(client):
    # Another server could not be tried out from the documentation page: its policy lets it speak to its own only.
    expected = document() | {"servers": [{"url": "/"}]}
    assert client.get("/openapi.json").json == expected
    assert yaml.safe_load(client.get("/openapi.yaml").text) == expected


def test_no_words_are_lost_where_a_page_takes_them_for_markup():
    """``<seconds>`` in a description is an element that no browser shows."""
    assert re.findall(r"<\w[^\s>]*>?", openapi.as_yaml(document())) == []


def test_the_document_is_valid():
    assert [error.message for error in OpenAPIV31SpecValidator(document()).iter_errors()] == []


def test_it_says_who_is_answerable():
    info = document()["info"]
    assert info["description"]
    assert info["contact"]["url"]
    assert info["license"]["identifier"] == "MIT"


def test_tags_are_declared_and_used():
    declared = [tag["name"] for tag in document()["tags"]]
    used = {tag for param in _operations() for tag in param.values[0]["tags"]}
    assert sorted(declared) == sorted(used)


def test_every_schema_is_used():
    text = openapi.as_yaml(document())
    unused = [
        name
        for name in document()["components"]["schemas"]
        if f"#/components/schemas/{name}'" not in text and f"#/components/schemas/{name}\n" not in text
    ]
    assert unused == []


@each_operation
def test_operations_are_described(described):
    assert described["summary"]
    assert described["description"]
    assert described["tags"]
    for parameter in described["parameters"]:
        assert "schema" in parameter


def _validate(schema, example):
    errors = Draft202012Validator({**schema, "components": document()["components"]}).iter_errors(example)
    return [f"{error.json_path}: {error.message}" for error in errors]


@each_operation
def test_examples_fit_their_schemas(described):
    contents = [
        *described.get("requestBody", {}).get("content", {}).values(),
        *(
            content
            for response in described["responses"].values()
            for content in kept(response).get("content", {}).values()
        ),
    ]
    for content in contents:
        if content["schema"].get("format") == "binary":
            continue
        examples = (
            [content["example"]]
            if "example" in content
            else [_example(entry)["value"] for entry in content["examples"].values()]
        )
        assert examples
        for example in examples:
            assert _validate(content["schema"], example) == []


@each_operation
def test_examples_of_bodies_can_be_sent(described):
    """The example of a body passes the very schema that serves."""
    from engage.app import APIS

    operation = next(
        operation
        for api in APIS
        for operation in api.operations
        if operation.name == described["operationId"]
    )
    if operation.body:
        assert (
            operation.body().validate(described["requestBody"]["content"]["application/json"]["example"])
            == {}
        )


@each_operation
def test_problems_name_their_codes(described):
    for status, response in described["responses"].items():
        if int(status) >= 400:
            answer = kept(response)
            for code, entry in answer["content"]["application/problem+json"]["examples"].items():
                example = _example(entry)
                assert f"`{code}`" in answer["description"]
                assert (example["value"]["code"], example["value"]["status"]) == (code, int(status))
