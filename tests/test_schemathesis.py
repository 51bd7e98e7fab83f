"""Calls made up from the OpenAPI document, against the running application on both engines, as several callers.

``--calls N`` makes N of them for each operation.
"""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import schemathesis
from contract import document
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from world import World

from engage.app import APIS
from engage.core import openapi
from engage.core.http import PREFIX

OPERATIONS = [operation for api in APIS for operation in api.operations]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
METHODS = {"GET", "PUT", "POST", "DELETE", "PATCH"}


@pytest.fixture(scope="module")
def api(app) -> Any:
    schema = schemathesis.openapi.from_dict(document())
    schema.app = app
    return schema


def _strategy(operation: Any) -> Any:
    positive = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not (operation.body or len(operation.path_parameters) or len(operation.query)):
        return positive
    return positive | positive | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@pytest.mark.filterwarnings("ignore")  # of the libraries that make up the calls
def test_made_up_calls_are_answered_as_documented(operation, api, world, request):
    declared = api[PREFIX + operation.path][operation.method.lower()]

    @hypothesis_settings(
        max_examples=request.config.getoption("--calls"),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=_strategy(declared), caller=st.sampled_from(sorted(world.callers)), pick=st.integers(0, 1000))
    def call(case, caller, pick):
        if case.meta.generation.mode is GenerationMode.POSITIVE:
            _ground(case, world, pick)
        token = world.callers[caller]
        plain = {"Accept-Encoding": "identity"}  # the transport for WSGI does not unpack gzip
        response = case.call(headers={**plain, "Authorization": token} if token else plain)
        case.validate_response(response, checks=CHECKS)
        _check_code(operation, response)

    call()


def _ground(case: Any, world: World, pick: int) -> None:
    """Put ids of real objects in most calls; an id made up is only ever not found."""
    choose = random.Random(pick)
    if isinstance(case.body, dict):
        case.body = copy.deepcopy(case.body)  # it may be the example of the document itself
    for holder in (case.path_parameters, case.query, case.body):
        if isinstance(holder, dict):
            for name in list(holder):
                known = world.id_for(name, choose.randrange(100))
                if known is not None and choose.random() < 0.7:
                    holder[name] = str(known)
    if "If-Match" in case.headers and choose.random() < 0.8:
        case.headers["If-Match"] = "*"


def _check_code(operation: Any, response: Any) -> None:
    if response.status_code >= 400:
        documented = {
            refusal.code for refusal in openapi.refusals(operation) if refusal.status == response.status_code
        }
        assert response.json()["code"] in documented


def test_every_id_in_a_path_can_be_that_of_a_real_object(world):
    named = {name for operation in OPERATIONS for name in operation.path_parameters if name.endswith("_id")}
    assert named <= world.ids.keys()


@pytest.mark.parametrize("path", sorted(document()["paths"]))
def test_other_methods_are_refused_as_a_problem(path, client):
    served = {operation.method for operation in OPERATIONS if PREFIX + operation.path == path}
    address = path.replace("{code}", "140502")
    for name in next(
        operation.path_parameters for operation in OPERATIONS if PREFIX + operation.path == path
    ):
        address = address.replace(f"{{{name}}}", "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d")
    for method in METHODS - served:
        answer = client.open(address, method=method)
        assert (answer.status_code, answer.mimetype) == (405, "application/problem+json")
        assert answer.json["code"] == "method_not_allowed"
        assert served <= set(answer.headers["Allow"].split(", "))
