"""What is known of knowledge bases, shown of the emulator."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bedrock_emulator import Quotas
from emulator_support.workbench import ROLE

fact = pytest.mark.fact


def refusal(call: Callable[..., Any], **members: Any) -> tuple[int, str, str]:
    """The HTTP status, code and message of the error that a call is answered."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    response = caught.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return status, response["Error"]["Code"], response["Error"]["Message"]


@fact("CreateKnowledgeBase answers 202 and the status CREATING", "M")
def test_a_new_knowledge_base_is_creating(bench: Any) -> None:
    request = bench.knowledge_base_request("tenant", bench.index("tenant"))
    answer = bench.agent.create_knowledge_base(**request)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["knowledgeBase"]["status"] == "CREATING"
    assert answer["knowledgeBase"]["roleArn"] == request["roleArn"]
    assert answer["knowledgeBase"]["storageConfiguration"] == request["storageConfiguration"]


@fact("ids match [0-9a-zA-Z]{10}, upper case in every sample", "M")
def test_ids_are_ten_upper_case_letters_and_digits(bench: Any) -> None:
    made = bench.create("tenant")
    assert re.fullmatch("[0-9A-Z]{10}", made["knowledgeBaseId"])
    assert made["knowledgeBaseArn"].endswith(f":knowledge-base/{made['knowledgeBaseId']}")


@fact("a VECTOR knowledge base takes about 83 seconds to ACTIVE", "R")
def test_a_vector_knowledge_base_is_active_after_83_seconds(bench: Any) -> None:
    identifier = bench.create("tenant")["knowledgeBaseId"]
    bench.clock.advance(82)
    assert bench.agent.get_knowledge_base(knowledgeBaseId=identifier)["knowledgeBase"]["status"] == "CREATING"
    bench.clock.advance(2)
    assert bench.agent.get_knowledge_base(knowledgeBaseId=identifier)["knowledgeBase"]["status"] == "ACTIVE"


@fact("a MANAGED knowledge base takes 47 to 124 seconds to ACTIVE", "R")
def test_a_managed_knowledge_base_is_active_after_one_or_two_minutes(bench: Any) -> None:
    configuration = {"type": "MANAGED", "managedKnowledgeBaseConfiguration": {"embeddingModelType": "MANAGED"}}
    made = [
        bench.agent.create_knowledge_base(name=f"n-{number}", roleArn=ROLE, knowledgeBaseConfiguration=configuration)
        for number in range(20)
    ]

    def active() -> int:
        found = [
            bench.agent.get_knowledge_base(knowledgeBaseId=each["knowledgeBase"]["knowledgeBaseId"]) for each in made
        ]
        assert not any("storageConfiguration" in each["knowledgeBase"] for each in found)
        return sum(each["knowledgeBase"]["status"] == "ACTIVE" for each in found)

    bench.clock.advance(46.9)
    assert active() == 0
    bench.clock.advance(38.6)
    assert 0 < active() < 20
    bench.clock.advance(38.6)
    assert active() == 20


@fact("names are unique per account and Region: 409 `KnowledgeBase with name {n} already exists.`", "R")
def test_a_second_knowledge_base_of_a_name_is_a_conflict(bench: Any) -> None:
    bench.create("tenant")
    again = bench.knowledge_base_request("tenant", bench.index("other"))
    assert refusal(bench.agent.create_knowledge_base, **again) == (
        409,
        "ConflictException",
        "KnowledgeBase with name tenant already exists.",
    )


@fact("a clientToken that matches a previous request is ignored, without an error", "D")
def test_the_same_client_token_gives_the_first_knowledge_base(bench: Any) -> None:
    request = bench.knowledge_base_request("tenant", bench.index("tenant"), clientToken="t" * 33)
    first = bench.agent.create_knowledge_base(**request)["knowledgeBase"]
    second = bench.agent.create_knowledge_base(**{**request, "name": "other"})["knowledgeBase"]
    assert second["knowledgeBaseId"] == first["knowledgeBaseId"]


@fact("a clientToken is remembered for minutes only", "R")
def test_a_client_token_is_forgotten_after_minutes(bench: Any) -> None:
    request = bench.knowledge_base_request("tenant", bench.index("tenant"), clientToken="t" * 33)
    bench.agent.create_knowledge_base(**request)
    bench.clock.advance(3600)
    assert refusal(bench.agent.create_knowledge_base, **request)[1] == "ConflictException"


@fact("two concurrent creates with the same clientToken can both be accepted and make two of one name", "R")
def test_concurrent_creates_can_make_two_knowledge_bases_of_one_name(bench: Any) -> None:
    bench.emulator.faults.add({"effect": "uniqueness_lag", "seconds": 2})
    request = bench.knowledge_base_request("tenant", bench.index("tenant"), clientToken="t" * 33)
    first, second = (bench.agent.create_knowledge_base(**request)["knowledgeBase"] for _ in range(2))
    assert first["knowledgeBaseId"] != second["knowledgeBaseId"]
    assert first["name"] == second["name"]


@fact("VECTOR knowledge bases: 100 per account and Region, ServiceQuotaExceeded is 402", "D")
def test_the_101st_vector_knowledge_base_exceeds_the_quota(bench: Any) -> None:
    arn = bench.index("shared")
    for number in range(100):
        bench.agent.create_knowledge_base(**bench.knowledge_base_request(f"tenant-{number}", arn))
    status, code, _ = refusal(bench.agent.create_knowledge_base, **bench.knowledge_base_request("one-more", arn))
    assert (status, code) == (402, "ServiceQuotaExceededException")


@fact("MANAGED knowledge bases have a quota of their own", "D")
def test_managed_knowledge_bases_do_not_count_as_vector_ones(workbench_of: Any) -> None:
    bench = workbench_of(quotas=Quotas(requests_per_second={}, vector_knowledge_bases=1))
    bench.create("tenant")
    assert bench.managed()


@fact("role not assumable: 400 `Bedrock Knowledge Base was unable to assume the given role`, for about a minute", "R")
def test_a_new_role_can_not_be_assumed_at_once(bench: Any) -> None:
    bench.emulator.faults.add({"effect": "role_not_assumable", "seconds": 60})
    request = bench.knowledge_base_request("tenant", bench.index("tenant"))
    assert refusal(bench.agent.create_knowledge_base, **request) == (
        400,
        "ValidationException",
        "Bedrock Knowledge Base was unable to assume the given role",
    )
    bench.clock.advance(61)
    assert bench.agent.create_knowledge_base(**request)


@fact("`Unable to verify the specified embedding model` is IAM propagation, too: it passes", "R")
def test_a_model_can_not_be_verified_at_once(bench: Any) -> None:
    bench.emulator.faults.add({"effect": "model_not_verifiable", "seconds": 20})
    request = bench.knowledge_base_request("tenant", bench.index("tenant"))
    answer = refusal(bench.agent.create_knowledge_base, **request)
    assert answer == (400, "ValidationException", "Unable to verify the specified embedding model")
    bench.clock.advance(21)
    assert bench.agent.create_knowledge_base(**request)


@fact(
    "the vector index named in storageConfiguration must exist, else 400 `The knowledge base storage configuration "
    "provided is invalid...`",
    "R",
)
def test_a_knowledge_base_needs_its_index(bench: Any) -> None:
    missing = f"{bench.index('there').rpartition('/')[0]}/missing"
    status, code, message = refusal(
        bench.agent.create_knowledge_base, **bench.knowledge_base_request("tenant", missing)
    )
    assert (status, code) == (400, "ValidationException")
    assert message.startswith("The knowledge base storage configuration provided is invalid... ")


@fact("the vector index must have the dimension of the embedding model", "I")
def test_an_index_of_another_dimension_is_refused(bench: Any) -> None:
    request = bench.knowledge_base_request("tenant", bench.index("narrow", dimension=256))
    _, code, message = refusal(bench.agent.create_knowledge_base, **request)
    assert code == "ValidationException"
    assert "dimension 256" in message
    vector = request["knowledgeBaseConfiguration"]["vectorKnowledgeBaseConfiguration"]
    vector["embeddingModelConfiguration"] = {"bedrockEmbeddingModelConfiguration": {"dimensions": 256}}
    assert bench.agent.create_knowledge_base(**request)


@fact("an index is not seen for seconds after it was created", "R")
def test_a_new_index_can_be_invisible_for_seconds(bench: Any) -> None:
    bench.emulator.faults.add({"effect": "index_not_visible", "seconds": 5, "count": 1})
    request = bench.knowledge_base_request("tenant", bench.index("tenant"))
    assert refusal(bench.agent.create_knowledge_base, **request)[1] == "ValidationException"
    bench.clock.advance(6)
    assert bench.agent.create_knowledge_base(**request)


@fact("storageConfiguration may name an index by its ARN or by bucket ARN and index name", "M")
def test_an_index_can_be_named_by_bucket_and_name(bench: Any) -> None:
    bucket_arn, _, name = bench.index("tenant").partition("/index/")
    request = bench.knowledge_base_request("tenant", "")
    request["storageConfiguration"]["s3VectorsConfiguration"] = {"vectorBucketArn": bucket_arn, "indexName": name}
    assert bench.agent.create_knowledge_base(**request)


@fact("the lists are paged; KnowledgeBaseSummary has no createdAt", "M")
def test_reading_only_the_first_page_misses_knowledge_bases(bench: Any) -> None:
    arn = bench.index("shared")
    for number in range(25):
        bench.agent.create_knowledge_base(**bench.knowledge_base_request(f"tenant-{number}", arn))
    first = bench.agent.list_knowledge_bases()
    assert len(first["knowledgeBaseSummaries"]) < 25
    assert "createdAt" not in first["knowledgeBaseSummaries"][0]
    pages = bench.agent.get_paginator("list_knowledge_bases").paginate(PaginationConfig={"PageSize": 7})
    names = [summary["name"] for page in pages for summary in page["knowledgeBaseSummaries"]]
    assert names == [f"tenant-{number}" for number in range(25)]


@fact("a nextToken of another list is refused", "I")
def test_a_foreign_next_token_is_refused(bench: Any) -> None:
    assert refusal(bench.agent.list_knowledge_bases, nextToken="bm9uc2Vuc2U=")[1] == "ValidationException"


@fact("changing the configuration: 400 `You cannot modify the knowledge base configuration once it is created.`", "R")
def test_the_configuration_can_not_be_changed(bench: Any) -> None:
    identifier = bench.knowledge_base()
    request = bench.knowledge_base_request("tenant", bench.index("other"))
    assert refusal(bench.agent.update_knowledge_base, knowledgeBaseId=identifier, **request) == (
        400,
        "ValidationException",
        "You cannot modify the knowledge base configuration once it is created.",
    )


@fact("an updated knowledge base is UPDATING, then ACTIVE", "M")
def test_name_and_description_can_be_changed(bench: Any) -> None:
    made = bench.create("tenant")
    bench.clock.advance(90)
    kept = {key: made[key] for key in ("roleArn", "knowledgeBaseConfiguration", "storageConfiguration")}
    answer = bench.agent.update_knowledge_base(
        knowledgeBaseId=made["knowledgeBaseId"], name="renamed", description="new", **kept
    )
    assert answer["knowledgeBase"]["status"] == "UPDATING"
    bench.clock.advance(10)
    found = bench.agent.get_knowledge_base(knowledgeBaseId=made["knowledgeBaseId"])["knowledgeBase"]
    assert (found["name"], found["description"], found["status"]) == ("renamed", "new", "ACTIVE")


@fact("ResourceNotFoundException is 404", "M")
def test_an_unknown_knowledge_base_is_not_found(bench: Any) -> None:
    assert refusal(bench.agent.get_knowledge_base, knowledgeBaseId="0123456789")[:2] == (
        404,
        "ResourceNotFoundException",
    )


@fact("DeleteKnowledgeBase answers 202 and DELETING; then the knowledge base is gone and its name free", "M")
def test_a_deleted_knowledge_base_goes_away(bench: Any) -> None:
    identifier = bench.knowledge_base("tenant")
    answer = bench.agent.delete_knowledge_base(knowledgeBaseId=identifier)
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["status"]) == (202, "DELETING")
    bench.clock.advance(60)
    assert refusal(bench.agent.get_knowledge_base, knowledgeBaseId=identifier)[0] == 404
    assert bench.agent.create_knowledge_base(**bench.knowledge_base_request("tenant", bench.index("second")))


@fact("delete when the store is gone: DELETE_UNSUCCESSFUL with failureReasons, and the name stays taken", "R")
def test_a_knowledge_base_without_its_store_can_not_be_deleted(bench: Any) -> None:
    base = bench.knowledge_base("tenant")
    source = bench.data_source(base)
    bench.vectors.delete_index(vectorBucketName="vectors", indexName="index-tenant")
    bench.agent.delete_data_source(knowledgeBaseId=base, dataSourceId=source)
    bench.clock.advance(60)
    stuck = bench.agent.get_data_source(knowledgeBaseId=base, dataSourceId=source)["dataSource"]
    assert stuck["status"] == "DELETE_UNSUCCESSFUL"
    assert stuck["failureReasons"][0].startswith(
        f"Unable to delete data from vector store for data source with ID {source}."
    )
    bench.agent.delete_knowledge_base(knowledgeBaseId=base)
    bench.clock.advance(60)
    found = bench.agent.get_knowledge_base(knowledgeBaseId=base)["knowledgeBase"]
    assert found["status"] == "DELETE_UNSUCCESSFUL"
    again = bench.knowledge_base_request("tenant", bench.index("again"))
    assert refusal(bench.agent.create_knowledge_base, **again)[1] == "ConflictException"


@fact(
    "a stuck data source: UpdateDataSource with dataDeletionPolicy RETAIN, DeleteDataSource, DeleteKnowledgeBase", "R"
)
def test_retain_frees_a_stuck_deletion(bench: Any) -> None:
    base = bench.knowledge_base("tenant")
    source = bench.data_source(base)
    bench.vectors.delete_index(vectorBucketName="vectors", indexName="index-tenant")
    bench.agent.delete_data_source(knowledgeBaseId=base, dataSourceId=source)
    bench.clock.advance(60)
    stuck = bench.agent.get_data_source(knowledgeBaseId=base, dataSourceId=source)["dataSource"]
    bench.agent.update_data_source(
        knowledgeBaseId=base,
        dataSourceId=source,
        name=stuck["name"],
        dataSourceConfiguration=stuck["dataSourceConfiguration"],
        dataDeletionPolicy="RETAIN",
    )
    bench.agent.delete_data_source(knowledgeBaseId=base, dataSourceId=source)
    bench.clock.advance(60)
    bench.agent.delete_knowledge_base(knowledgeBaseId=base)
    bench.clock.advance(60)
    assert refusal(bench.agent.get_knowledge_base, knowledgeBaseId=base)[0] == 404


@fact("a knowledge base can be tagged when it is created and later", "M")
def test_tags_can_be_set_listed_and_removed(bench: Any) -> None:
    arn = bench.create("tenant", tags={"tenant": "acme"})["knowledgeBaseArn"]
    bench.agent.tag_resource(resourceArn=arn, tags={"tier": "gold"})
    assert bench.agent.list_tags_for_resource(resourceArn=arn)["tags"] == {"tenant": "acme", "tier": "gold"}
    bench.agent.untag_resource(resourceArn=arn, tagKeys=["tenant"])
    assert bench.agent.list_tags_for_resource(resourceArn=arn)["tags"] == {"tier": "gold"}
    unknown = f"{arn[:-10]}0000000000"
    assert refusal(bench.agent.list_tags_for_resource, resourceArn=unknown)[0] == 404


@fact("name: ([0-9a-zA-Z][_-]?){1,100}; the service answers `…failed to satisfy constraint: Member must …`", "M")
@pytest.mark.parametrize("name", ["-tenant", "ten--ant", "テナント", "a" * 101])
def test_a_name_must_match_its_pattern(bench: Any, name: str) -> None:
    status, code, message = refusal(
        bench.agent.create_knowledge_base, **bench.knowledge_base_request(name, bench.index("tenant"))
    )
    assert (status, code) == (400, "ValidationException")
    assert message.startswith(
        f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: "
    )


@fact("clientToken: 33 to 256 characters", "M")
def test_a_client_token_has_a_longest_length(bench: Any) -> None:
    request = bench.knowledge_base_request("tenant", bench.index("tenant"), clientToken="t" * 257)
    _, code, message = refusal(bench.agent.create_knowledge_base, **request)
    assert code == "ValidationException"
    assert "at 'clientToken' failed to satisfy constraint: Member must have length less than or equal to 256" in message


@fact("every violation of a request is named", "M")
def test_every_violation_is_named(bench: Any) -> None:
    request = bench.knowledge_base_request("-", bench.index("tenant"), description="d" * 201)
    request["knowledgeBaseConfiguration"]["type"] = "VECTORS"
    _, _, message = refusal(bench.agent.create_knowledge_base, **request)
    assert message.startswith("3 validation errors detected: ")
    assert (
        "at 'knowledgeBaseConfiguration.type' failed to satisfy constraint: Member must satisfy enum value set"
        in message
    )
    assert "at 'description' failed to satisfy constraint: Member must have length less than or equal to 200" in message


@fact("a MANAGED knowledge base has no storageConfiguration", "D")
def test_a_managed_knowledge_base_takes_no_storage(bench: Any) -> None:
    request = bench.knowledge_base_request("tenant", bench.index("tenant"))
    request["knowledgeBaseConfiguration"] = {"type": "MANAGED"}
    assert refusal(bench.agent.create_knowledge_base, **request)[1] == "ValidationException"


@fact("a knowledge base can end FAILED with failureReasons; its name stays taken", "M")
def test_a_knowledge_base_can_fail(bench: Any) -> None:
    bench.emulator.faults.add({"effect": "knowledge_base_fails", "failureReasons": ["No capacity."], "count": 1})
    identifier = bench.knowledge_base("tenant")
    found = bench.agent.get_knowledge_base(knowledgeBaseId=identifier)["knowledgeBase"]
    assert (found["status"], found["failureReasons"]) == ("FAILED", ["No capacity."])
    again = bench.knowledge_base_request("tenant", bench.index("again"))
    assert refusal(bench.agent.create_knowledge_base, **again)[1] == "ConflictException"
