"""What the layers bring is what the functions call."""

from __future__ import annotations

import ast
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import botocore
import pytest
from botocore.loaders import Loader
from botocore.session import Session

from kbfleet.adapters.answerers import CALLS
from tests.support.template import REPOSITORY

LAYER = REPOSITORY / "layers" / "dependencies"
SERVICES = (LAYER / "services.txt").read_text("utf-8").split()
REGIONS = ("us-east-1", "ap-northeast-1", "eu-central-1", "us-gov-west-1", "cn-north-1")


def services_of(module: ast.Module) -> Iterator[str]:
    """Those that clients are made for, by their names in the call."""
    for call in (node for node in ast.walk(module) if isinstance(node, ast.Call) and node.args):
        made_by = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        service = call.args[0]
        if made_by in {"client", "_client"} and isinstance(service, ast.Constant) and isinstance(service.value, str):
            yield service.value


def test_botocore_is_deployed_with_what_it_knows_of_the_services_that_functions_call_and_no_others() -> None:
    sources = [*(REPOSITORY / "layers" / "kbfleet").rglob("*.py"), *(REPOSITORY / "functions").rglob("*.py")]
    called = {name for source in sources for name in services_of(ast.parse(source.read_text("utf-8")))}
    assert sorted(called | {service for service, _ in CALLS.values()}) == SERVICES


def test_no_function_brings_the_sdk_of_x_ray() -> None:
    """AWS mends nothing in it any more but security (docs/decisions/0047)."""
    brought = (LAYER / "requirements.txt").read_text("utf-8")
    assert "aws-lambda-powertools==" in brought
    assert "aws-xray-sdk" not in brought


def keep(data: Path) -> None:
    script = importlib.util.spec_from_file_location("keep_called_services", LAYER / "keep_called_services.py")
    assert script is not None
    assert script.loader is not None
    module = importlib.util.module_from_spec(script)
    script.loader.exec_module(module)
    module.keep(data, SERVICES)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """botocore's data as they are deployed."""
    data = tmp_path_factory.mktemp("layer") / "data"
    shutil.copytree(Path(botocore.__file__).parent / "data", data)
    keep(data)
    return data


def test_files_that_installers_share_between_environments_stay_whole(tmp_path: Path) -> None:
    """uv links what it installs with its cache; a change in place would be one of every environment."""
    data, cached = tmp_path / "data", tmp_path / "cached.json"
    data.mkdir()
    whole = '{"partitions": [{"services": {"dynamodb": {}, "monitoring": {}}}]}'
    cached.write_text(whole, "utf-8")
    (data / "endpoints.json").hardlink_to(cached)
    keep(data)
    assert cached.read_text("utf-8") == whole
    assert "monitoring" not in (data / "endpoints.json").read_text("utf-8")


def clients_are_made_for(session: Session, service: str) -> list[tuple[str, str, str]]:
    """Where a session's clients of a service send their requests in each Region, and how they are described."""
    made = [
        session.create_client(service, region_name=region, aws_access_key_id="none", aws_secret_access_key="none")
        for region in REGIONS
    ]
    return [
        (client.meta.endpoint_url, client.meta.service_model.signing_name, client.meta.service_model.api_version)
        for client in made
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_clients_are_the_same_as_with_all_that_it_knows(kept: Path, service: str) -> None:
    deployed = Session()
    deployed.register_component("data_loader", Loader([str(kept)], include_default_search_paths=False))
    assert clients_are_made_for(deployed, service) == clients_are_made_for(Session(), service)
    assert set(deployed.get_available_services()) == set(SERVICES)
