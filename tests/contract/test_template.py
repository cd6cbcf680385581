"""What must hold of template.yaml, whatever else changes in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samcli.yamlhelper import yaml_dump, yaml_parse

from kbfleet.adapters.dynamodb.askable_tenants import RECORD_FIELDS, SYNC_FIELDS
from kbfleet.bootstrap import ALERT_CHANNELS, KNOWLEDGE_STORES
from kbfleet.contracts.asking import GOLDEN_QUESTION_ASKED, QUESTION_ANSWERED
from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.names import Life
from kbfleet.domain.usage_plan import Tier
from kbfleet.usecases.sync_schedule import RUN_EVERY
from tests.support.deployment_values import Deployment
from tests.support.samples import ACME, NAMES
from tests.support.template import (
    MONITORING,
    REPOSITORY,
    TEMPLATE,
    TEMPLATES,
    definition,
    environment,
    function_property,
    handler_place,
    properties,
    read,
    resources,
    template,
)

PARAMETERS: dict[str, dict[str, Any]] = template()["Parameters"]
FUNCTIONS = resources("AWS::Serverless::Function")
QUEUES = resources("AWS::SQS::Queue")
LONGEST_CHANGE = json.loads((REPOSITORY / "events/triggers/note_changes_deletions.json").read_text("utf-8"))["Records"][
    0
]["body"]
LINES = TEMPLATE.read_text("utf-8").splitlines()
STATEFUL = {
    "AWS::DynamoDB::Table",
    "AWS::S3::Bucket",
    "AWS::S3Vectors::VectorBucket",
    "AWS::OpenSearchServerless::Collection",
}


def walk(value: object) -> Iterator[tuple[str, object]]:
    """Every member of a nested structure, with its name."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield str(name), inner
        yield from walk(inner)


def statements(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, value in walk(resource):
        if name == "Statement" and isinstance(value, list):
            for statement in value:
                _, *branches = statement.get("Fn::If", [None, statement])
                yield from (branch for branch in branches if branch != {"Ref": "AWS::NoValue"})


def actions(statement: dict[str, Any]) -> set[str]:
    action = statement["Action"]
    return {action} if isinstance(action, str) else set(action)


def events(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of one kind, with the function that each triggers."""
    for function, made in FUNCTIONS.items():
        for event in made["Properties"].get("Events", {}).values():
            if event["Type"] == kind:
                yield function, event["Properties"]


def queue_of(reference: dict[str, Any]) -> str:
    (target,) = reference.values()
    return str(target).removesuffix(".Arn")


def senders_to(queue: str) -> set[str]:
    """The rules that the policies of a queue let send to it."""
    allowing = [
        statement
        for policy in resources("AWS::SQS::QueuePolicy").values()
        for statement in statements(policy)
        if {"Fn::GetAtt": f"{queue}.Arn"} in listed(statement["Resource"])
    ]
    sources = [source for each in allowing for source in listed(each["Condition"]["ArnEquals"]["aws:SourceArn"])]
    return {queue_of(source) for source in sources}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def kept_by(name: str) -> tuple[str | None, str | None]:
    """What a resource's policies say of its deletion, and of its replacement."""
    made = template()["Resources"][name]
    return made.get("DeletionPolicy"), made.get("UpdateReplacePolicy")


class TestParameters:
    @pytest.mark.parametrize("name", PARAMETERS)
    def test_every_one_is_described_in_a_sentence(self, name: str) -> None:
        assert re.match(r"[A-Z]\w.{20,}", PARAMETERS[name]["Description"])

    @pytest.mark.parametrize("name", [name for name, made in PARAMETERS.items() if made["Type"] == "String"])
    def test_text_is_checked_before_anything_is_made(self, name: str) -> None:
        made = PARAMETERS[name]
        if "AllowedValues" in made:
            return
        assert made["AllowedPattern"]
        assert made["ConstraintDescription"]
        if "Default" in made:
            assert re.fullmatch(made["AllowedPattern"], made["Default"])

    @pytest.mark.parametrize("name", [name for name, made in PARAMETERS.items() if made["Type"] == "Number"])
    def test_numbers_have_bounds_that_their_defaults_keep(self, name: str) -> None:
        made = PARAMETERS[name]
        assert "MinValue" in made or "AllowedValues" in made
        assert made.get("MinValue", made["Default"]) <= made["Default"] <= made.get("MaxValue", made["Default"])

    def test_every_one_is_used(self) -> None:
        text = TEMPLATE.read_text("utf-8")
        for name in PARAMETERS:
            assert re.search(rf"!Ref {name}\b|\${{{name}}}", text) or f"{{Ref: {name}}}" in text, name


@pytest.mark.parametrize("name", FUNCTIONS)
class TestEveryFunction:
    def test_is_one_folder_that_needs_no_build(self, name: str) -> None:
        assert re.fullmatch(r"functions/[a-z]+/", properties(name)["CodeUri"])
        assert FUNCTIONS[name]["Metadata"] == {"SkipBuild": True}

    def test_writes_to_a_log_group_that_forgets(self, name: str) -> None:
        group = properties(name)["LoggingConfig"]["LogGroup"]["Ref"]
        assert properties(group)["RetentionInDays"] == {"Ref": "LogRetentionDays"}

    def test_says_why_it_may_do_what_it_may(self, name: str) -> None:
        for statement in statements(FUNCTIONS[name]):
            assert re.fullmatch(r"[A-Z][A-Za-z]+", statement["Sid"])


class TestLogGroups:
    @pytest.mark.parametrize("name", resources("AWS::Logs::LogGroup"))
    def test_every_one_forgets(self, name: str) -> None:
        assert properties(name)["RetentionInDays"]

    def test_nobody_reads_in_a_log_what_an_execution_was_given(self) -> None:
        """Names of tenants, and what AWS says of their documents."""
        machines = resources("AWS::Serverless::StateMachine").values()
        assert {
            (each["Properties"]["Logging"]["Level"], each["Properties"]["Logging"]["IncludeExecutionData"])
            for each in machines
        } == {("ERROR", False)}


class TestRules:
    """What reaches a function or people, by the outcomes and sources that there are."""

    def test_a_job_that_ended_however_is_collected(self) -> None:
        (ended,) = (each for name, each in events("EventBridgeRule") if name == "CollectFailuresFunction")
        assert set(ended["Pattern"]["detail"]["outcome"]) == {str(outcome) for outcome in Outcome}

    def test_people_hear_of_the_end_of_whatever_they_heard_of(self) -> None:
        recovered = properties("IngestionRecoveredRule")["EventPattern"]["detail"]
        assert recovered["outcome"] == [str(Outcome.SUCCEEDED)]
        assert set(recovered["previous_outcome"]) == {str(Outcome.FAILED), str(Outcome.DEGRADED)}

    def test_nobody_asks_for_tenants_in_the_name_of_kbfleet(self) -> None:
        (asked,) = (each for name, each in events("EventBridgeRule") if name == "StartProvisioningFunction")
        assert asked["Pattern"]["source"] == [{"anything-but": {"prefix": "kbfleet."}}]


class TestQueues:
    @pytest.mark.parametrize("name", QUEUES)
    def test_every_one_is_encrypted(self, name: str) -> None:
        assert properties(name)["SqsManagedSseEnabled"] is True

    def test_every_one_that_a_function_reads_has_a_dead_letter_queue_of_its_kind(self) -> None:
        assert list(events("SQS"))
        for _, event in events("SQS"):
            queue = properties(queue_of(event["Queue"]))
            assert queue["RedrivePolicy"]["maxReceiveCount"] >= 3
            dead = properties(queue_of(queue["RedrivePolicy"]["deadLetterTargetArn"]))
            assert dead.get("FifoQueue") == queue.get("FifoQueue")

    def test_dead_letters_are_kept_as_long_as_a_queue_can(self) -> None:
        dead = {name for name in QUEUES if "DeadLetter" in name}
        assert dead
        for name in dead:
            assert properties(name)["MessageRetentionPeriod"] == 1_209_600  # 14 days; SQS documentation, quotas

    def test_a_message_stays_hidden_for_six_times_as_long_as_its_function_may_take(self) -> None:
        # Source: AWS documentation, Using Lambda with Amazon SQS.
        for function, event in events("SQS"):
            visibility = properties(queue_of(event["Queue"]))["VisibilityTimeout"]
            window = event.get("MaximumBatchingWindowInSeconds", 0)
            assert visibility >= 6 * function_property(function, "Timeout") + window

    def test_batches_of_more_than_one_report_their_failures_one_by_one(self) -> None:
        for _, event in events("SQS"):
            assert event["BatchSize"] == 1 or event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]

    def test_what_comes_at_once_is_worked_on_by_few_at_once(self) -> None:
        """Else a thousand events of one outage take all of the account's invocations, Slack refuses the messages, and
        writers of one record keep each other from writing. FIFO queues are bounded by their groups as well, where those
        are few."""
        bounded = {
            queue_of(event["Queue"]): event.get("ScalingConfig", {}).get("MaximumConcurrency")
            for _, event in events("SQS")
        }
        groups = {queue for queue in bounded if properties(queue).get("FifoQueue")}
        assert {queue: most for queue, most in bounded.items() if queue not in groups} == {
            "ChangeQueue": 2,
            "AlertQueue": 2,
            "QuestionQueue": 5,
        }
        # One message group each, and one of each tenant.
        assert {queue: bounded[queue] for queue in groups} == {
            "TickQueue": None,
            "DocumentRetryQueue": None,
            "DeletionCheckQueue": 5,
        }

    def test_a_rule_delivers_to_queues_only_each_with_a_dead_letter_queue(self) -> None:
        # EventBridge's retries cover the delivery only, never what a function raises.
        for name in resources("AWS::Events::Rule"):
            for target in properties(name)["Targets"]:
                assert queue_of(target["Arn"]) in QUEUES
                assert queue_of(target["DeadLetterConfig"]["Arn"]) in QUEUES

    @pytest.mark.parametrize("name", resources("AWS::Events::Rule"))
    def test_the_queues_that_a_rule_delivers_to_let_it_in(self, name: str) -> None:
        """Else EventBridge drops what it may not deliver, and says so in its own metrics only."""
        for target in properties(name)["Targets"]:
            for queue in (queue_of(target["Arn"]), queue_of(target["DeadLetterConfig"]["Arn"])):
                assert name in senders_to(queue)

    def test_a_function_that_a_rule_invokes_has_a_place_for_what_fails(self) -> None:
        for function, event in events("EventBridgeRule"):
            assert queue_of(event["DeadLetterConfig"]["Arn"]) in QUEUES
            failed = properties(function)["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
            assert queue_of(failed["Destination"]) in QUEUES


class TestTicks:
    @pytest.mark.parametrize("queue", ["TickQueue", "DocumentRetryQueue", "DeletionCheckQueue"])
    def test_a_function_that_drives_itself_is_not_taken_for_a_runaway_loop(self, queue: str) -> None:
        # AWS stops such loops after about 16 hops. Source: AWS documentation, Lambda recursive loop detection.
        ((function, _),) = (found for found in events("SQS") if queue_of(found[1]["Queue"]) == queue)
        sends = [statement for statement in statements(FUNCTIONS[function]) if statement["Action"] == "sqs:SendMessage"]
        assert queue in [queue_of(statement["Resource"]) for statement in sends]
        assert properties(function)["RecursiveLoop"] == "Allow"

    def test_no_other_function_may_drive_itself(self) -> None:
        assert {name for name in FUNCTIONS if "RecursiveLoop" in properties(name)} == {
            "TickFunction",
            "RetryDocumentsFunction",
            "CheckDeletionsFunction",
            "RunQuestionsFunction",
        }

    def test_a_tick_is_delayed_by_the_interval_that_its_deduplication_counts_in(self) -> None:
        assert properties("TickQueue")["DelaySeconds"] == {"Ref": "TickSeconds"}
        assert environment("TickFunction")["TICK_SECONDS"] == {"Ref": "TickSeconds"}

    def test_a_schedule_is_the_safety_net(self) -> None:
        assert "TickFunction" in [function for function, _ in events("ScheduleV2")]


class TestDocumentChanges:
    RULE = "DocumentsChangedRule"

    def test_the_rule_takes_what_s3_tells_of_the_buckets_of_this_fleet_only(self) -> None:
        pattern = properties(self.RULE)["EventPattern"]
        assert "EventBusName" not in properties(self.RULE)  # AWS services send to the default bus
        assert (pattern["source"], pattern["detail-type"]) == (["aws.s3"], ["Object Created", "Object Deleted"])
        (name,) = pattern["detail"]["bucket"]["name"]
        assert name == {"prefix": {"Fn::Sub": "${FleetName}-"}}
        assert NAMES.bucket(Life(ACME)).startswith(f"{NAMES.fleet}-")

    def test_what_the_rule_cannot_deliver_and_what_the_function_refuses_is_in_one_place(self) -> None:
        (target,) = properties(self.RULE)["Targets"]
        assert queue_of(target["Arn"]) == "ChangeQueue"
        redrive = properties("ChangeQueue")["RedrivePolicy"]["deadLetterTargetArn"]
        given = environment("NoteChangesFunction")["CHANGE_DEAD_LETTER_QUEUE_URL"]
        for reference in (target["DeadLetterConfig"]["Arn"], redrive, given):
            assert queue_of(reference) == "ChangeDeadLetterQueue"

    def test_a_large_batch_has_a_window_and_fits_into_one_invocation(self) -> None:
        # More than ten need a window, and ten thousand are the most; an invocation takes 6 MB.
        # Source: AWS documentation, Using Lambda with Amazon SQS, and Lambda quotas.
        (event,) = (event for function, event in events("SQS") if function == "NoteChangesFunction")
        assert 10 < event["BatchSize"] <= 10_000
        assert event["MaximumBatchingWindowInSeconds"] >= 1
        longest = json.loads(LONGEST_CHANGE)
        longest["detail"]["object"]["key"] = "あ" * 341  # 1,024 bytes is the longest key (Amazon S3 User Guide)
        record = json.dumps({"body": json.dumps(longest), "rest": "x" * 600})
        assert event["BatchSize"] * len(record) < 6 * 1024 * 1024

    def test_the_schedule_runs_as_often_as_it_lines_up_for(self) -> None:
        (event,) = (event for function, event in events("ScheduleV2") if function == "RequestScheduledSyncsFunction")
        assert event["ScheduleExpression"] == f"rate({int(RUN_EVERY.total_seconds() / 60)} minutes)"


class TestPermissions:
    def test_no_statement_allows_every_action_of_a_service(self) -> None:
        for name, resource in template()["Resources"].items():
            for statement in statements(resource):
                assert not any("*" in action for action in actions(statement)), name

    def test_every_resource_that_is_everything_says_why_on_its_line(self) -> None:
        everything = [line for line in LINES if re.search(r"Resource: *\[?['\"]\*['\"]|^ *- ['\"]\*['\"]", line)]
        assert everything
        for line in everything:
            assert re.search(r"# \w+", line), line

    def test_every_function_that_asks_for_a_tick_may_and_no_other(self) -> None:
        may = {
            name
            for name in FUNCTIONS
            for statement in statements(FUNCTIONS[name])
            if "sqs:SendMessage" in actions(statement) and "TickQueue" in str(statement["Resource"])
        }
        assert may == {
            "RunFirstSyncFunction",
            "TickFunction",
            "TenantsFunction",
            "NoteChangesFunction",
            "RequestScheduledSyncsFunction",
            "FindExternalJobsFunction",
            "CheckDeletionsFunction",
            "BeginCandidateSyncFunction",
            "PromoteKnowledgeFunction",
            "ReconcileFunction",
        }

    def test_the_tenants_data_are_read_by_ask_by_bedrock_and_by_who_shows_nothing_of_them(self) -> None:
        may = {
            name
            for name, resource in template()["Resources"].items()
            for statement in statements(resource)
            if {"bedrock:Retrieve", "s3:GetObject"}
            & {*([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])}
        }
        assert may == {
            "Searching",
            "ServiceRoleBoundary",
            "WhyFunction",
            "CollectFailuresFunction",
            "ReconcileFunction",
            "DocumentsFunction",  # metadata files
            "DocumentOpenerRole",
        }

    def test_of_documents_their_list_reads_metadata_files_only(self) -> None:
        reading = [each for each in statements(FUNCTIONS["DocumentsFunction"]) if "s3:GetObject" in actions(each)]
        assert [each["Resource"]["Fn::Sub"].rpartition(":")[2] for each in reading] == [
            "${FleetName}-*/*.metadata.json"
        ]

    def test_whoever_looks_a_tenant_up_for_a_user_may_read_what_the_look_asks_for(self) -> None:
        looks = [
            {*statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"]}
            for name in FUNCTIONS
            for statement in statements(properties(name))
            if statement["Sid"] in {"LookTheTenantUp", "LookTheTenantUpAndReadConversations"}
        ]
        assert len(looks) == 2
        assert [{"PK", "SK", *RECORD_FIELDS, *SYNC_FIELDS} - allowed for allowed in looks] == [set(), set()]

    def test_whoever_tells_people_of_a_tenant_may_read_its_name_alone(self) -> None:
        (look,) = (each for each in statements(properties("SendAlertFunction")) if each["Sid"] == "LookTheNameUp")
        assert look["Condition"]["ForAllValues:StringEquals"] == {"dynamodb:Attributes": ["PK", "SK", "name"]}

    def test_documents_are_deleted_and_opened_by_roles_that_are_narrowed_to_one(self) -> None:
        for name in ("DocumentsFunction", "LinksFunction"):
            allowed = {action for each in statements(FUNCTIONS[name]) for action in actions(each)}
            assert not {action for action in allowed if action.startswith(("s3:Delete", "s3:Put"))}
            (trusting,) = properties("DocumentRemoverRole" if name == "DocumentsFunction" else "DocumentOpenerRole")[
                "AssumeRolePolicyDocument"
            ]["Statement"]
            assert trusting["Principal"] == {"AWS": {"Fn::GetAtt": f"{name}Role.Arn"}}

    def test_a_guardrail_of_the_standard_tier_may_work_in_the_regions_of_its_profile(self) -> None:
        # Source: AWS documentation, Permissions for using cross-Region inference with Amazon Bedrock Guardrails.
        (statement,) = statements(properties("Guarding"))
        suffixes = {each["Fn::Sub"].rpartition(":")[2] for each in statement["Resource"]}
        assert suffixes == {"guardrail/${GuardrailId}", "guardrail-profile/*"}

    def test_who_has_answers_written_is_one_role_and_who_searches_for_what_is_foreign_another(self) -> None:
        for policy in ("WritingAnswers", "AnsweringByOneCall", "Guarding"):
            assert properties(policy)["Roles"] == {
                "Fn::If": [
                    "CredentialsAreScoped",
                    [{"Ref": "KnowledgeBaseReaderRole"}],
                    [{"Ref": "AskFunctionRole"}, {"Ref": "RunQuestionsFunctionRole"}],
                ]
            }
        asking = (
            "AskFunctionRole",
            "RunQuestionsFunctionRole",
            "CompareKnowledgeFunctionRole",
            "ReconcileFunctionRole",
        )
        own = [{"Ref": role} for role in asking]
        assert properties("Searching")["Roles"] == {
            "Fn::If": [
                "CredentialsAreScoped",
                [{"Ref": "KnowledgeBaseReaderRole"}, {"Ref": "KnowledgeBaseSearcherRole"}],
                own,
            ]
        }

    @pytest.mark.parametrize(
        ("role", "by"),
        [
            (
                "KnowledgeBaseReaderRole",
                ["AskFunctionRole", "RunQuestionsFunctionRole", "CompareKnowledgeFunctionRole"],
            ),
            ("KnowledgeBaseSearcherRole", ["ReconcileFunctionRole"]),
        ],
    )
    def test_these_roles_are_assumed_by_who_asks_and_by_who_looks(self, role: str, by: list[str]) -> None:
        (trusted,) = properties(role)["AssumeRolePolicyDocument"]["Statement"]
        principals = trusted["Principal"]["AWS"]
        assert (principals if isinstance(principals, list) else [principals]) == [
            {"Fn::GetAtt": f"{each}.Arn"} for each in by
        ]


class TestTheTable:
    def test_whoever_uses_it_may_use_the_partitions_that_it_needs(self) -> None:
        """Queries of an index are of the index's partitions."""
        unlimited = {
            (name, statement["Sid"])
            for name, resource in template()["Resources"].items()
            for statement in statements(resource)
            if any(action.startswith("dynamodb:") for action in actions(statement))
            and "dynamodb:LeadingKeys" not in str(statement.get("Condition"))
            and "/index/" not in str(statement["Resource"])
        }
        assert unlimited == set()


class TestUsage:
    def test_only_lines_of_what_was_asked_reach_the_function_that_counts_them(self) -> None:
        said = [event for function, event in events("CloudWatchLogs") if function == "RecordUsageFunction"]
        askers = {QUESTION_ANSWERED: "AskFunction", GOLDEN_QUESTION_ASKED: "RunQuestionsFunction"}
        assert len(said) == len(askers)
        for event, (line, asker) in zip(said, askers.items(), strict=True):
            assert event["LogGroupName"] == properties(asker)["LoggingConfig"]["LogGroup"]
            assert event["FilterPattern"] == f'{{ $.message = "{line}" }}'

    def test_its_own_lines_do_not_come_back_to_it(self) -> None:
        names = ("RecordUsage", "Ask", "RunQuestions")
        own, *read = (properties(f"{name}Function")["LoggingConfig"]["LogGroup"] for name in names)
        assert own not in read

    def test_what_cannot_be_read_and_what_cannot_be_counted_is_in_one_place(self) -> None:
        failed = properties("RecordUsageFunction")["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
        refused = environment("RecordUsageFunction")["USAGE_DEAD_LETTER_QUEUE_URL"]
        assert {queue_of(failed["Destination"]), queue_of(refused)} == {"UsageDeadLetterQueue"}


class TestKnowledgeStores:
    def test_the_parameter_offers_every_store_that_there_is(self) -> None:
        assert PARAMETERS["KnowledgeStore"]["AllowedValues"] == list(KNOWLEDGE_STORES)
        assert PARAMETERS["KnowledgeStore"]["Default"] == "S3_VECTORS"

    def test_nothing_of_opensearch_serverless_is_made_for_those_who_do_not_want_it(self) -> None:
        made = {name: resource for name, resource in template()["Resources"].items() if name.startswith("Collection")}
        assert {resource["Type"] for resource in made.values()} >= {"AWS::OpenSearchServerless::Collection"}
        assert {resource["Condition"] for resource in made.values()} == {"HasCollection"}
        other = {name for name, resource in template()["Resources"].items() if "OpenSearch" in resource["Type"]}
        assert other <= set(made)

    def test_the_collection_is_made_after_what_it_cannot_be_made_without(self) -> None:
        """Source: Amazon OpenSearch Service Developer Guide, Creating collections: an encryption policy must match."""
        assert set(template()["Resources"]["Collection"]["DependsOn"]) == {"CollectionEncryption", "CollectionNetwork"}

    def test_the_collection_is_closed_to_all_but_bedrock(self) -> None:
        policy = properties("CollectionNetwork")["Policy"]["Fn::Sub"]
        (rule,) = json.loads(policy)
        assert rule["AllowFromPublic"] is False
        assert rule["SourceServices"] == ["bedrock.amazonaws.com"]
        assert rule["Rules"] == [{"ResourceType": "collection", "Resource": ["collection/${FleetName}-vectors"]}]

    @pytest.mark.parametrize("former", ["", "amazon.titan-embed-text-v1"])
    def test_knowledge_bases_can_be_searched_also_after_the_embedding_model_was_changed(self, former: str) -> None:
        parameters = {"EmbeddingModelId": "cohere.embed-v4", "FormerEmbeddingModelId": former}
        deployment = Deployment("123456789012", "eu-west-1", parameters, arns={"VectorBucket": "arn:aws:s3vectors:::b"})
        (embedding,) = (
            each
            for each in deployment.property("ServiceRoleBoundary", "PolicyDocument")["Statement"]
            if each["Action"] == "bedrock:InvokeModel"
        )
        models = [resource.rpartition("/")[2] for resource in embedding["Resource"]]
        assert models == ["cohere.embed-v4", *filter(None, [former])]

    def test_whoever_the_data_access_policy_names_may_reach_the_collection_and_no_one_else(self) -> None:
        policy, substituted = properties("CollectionAccess")["Policy"]["Fn::Sub"]
        makers = substituted["Makers"]["Fn::Join"][1]
        principals = [name for rules in json.loads(policy) for name in rules["Principal"]]
        named = {name.removeprefix("${").removesuffix(".Arn}") for name in principals if name != "${Makers}"}
        named |= {maker["Fn::GetAtt"].removesuffix(".Arn") for maker in makers}
        bounded = [name for name in resources("AWS::IAM::Role") if "ManagedPolicyArns" in properties(name)]
        assert bounded == ["KnowledgeBaseRole"]
        assert "aoss:APIAccessAll" in {
            action for each in statements(properties("ServiceRoleBoundary")) for action in actions(each)
        }
        assert named == {role["Ref"] for role in properties("CollectionUse")["Roles"]} | {*bounded}

    def test_bedrock_keeps_and_searches_vectors_but_makes_no_index(self) -> None:
        bedrock, *others = json.loads(properties("CollectionAccess")["Policy"]["Fn::Sub"][0])
        (rule,) = bedrock["Rules"]
        assert rule["Permission"] == ["aoss:DescribeIndex", "aoss:ReadDocument", "aoss:WriteDocument"]
        for (rule,) in (other["Rules"] for other in others):
            assert "aoss:ReadDocument" not in rule["Permission"]


class TestData:
    def test_what_holds_data_outlives_the_stack(self) -> None:
        holding = {name for name, made in template()["Resources"].items() if made["Type"] in STATEFUL}
        assert holding
        for name in holding:
            assert kept_by(name) == ("RetainExceptOnCreate", "Retain"), name

    def test_nothing_that_is_retained_is_left_behind_by_a_first_deployment_that_fails(self) -> None:
        """Else its name is taken when the deployment is tried again (docs/decisions/0039)."""
        retained = {name for name, made in template()["Resources"].items() if "DeletionPolicy" in made}
        assert retained > {"Table", "VectorBucket", "Collection"}
        for name in retained:
            assert kept_by(name) == ("RetainExceptOnCreate", "Retain"), name

    def test_the_table_can_be_restored_expires_and_is_encrypted(self) -> None:
        table = properties("Table")
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
        assert table["SSESpecification"] == {"SSEEnabled": True}


class TestApi:
    def test_tenants_ask_with_a_token_and_everything_else_that_tells_something_is_signed_with_iam(self) -> None:
        assert properties("Api")["Auth"]["DefaultAuthorizer"] == "TenantToken"
        by_path = {event["Path"]: event.get("Auth", {}).get("Authorizer") for _, event in events("Api")}
        assert by_path.pop("/ask") is None  # the default
        assert by_path.pop("/documents/link") is None
        assert by_path.pop("/openapi.json") == "NONE"
        assert by_path
        assert set(by_path.values()) == {"AWS_IAM"}

    def test_tenants_are_counted_by_the_key_that_the_authorizer_says_and_operators_are_not(self) -> None:
        assert properties("Api")["ApiKeySourceType"] == "AUTHORIZER"
        counted = {event["Path"] for _, event in events("Api") if event.get("Auth", {}).get("ApiKeyRequired")}
        assert counted == {"/ask"}

    @pytest.mark.parametrize("tier", Tier)
    def test_every_tier_has_a_usage_plan_of_this_stage_with_rate_burst_and_quota(self, tier: Tier) -> None:
        name = tier.title()
        plan = properties(f"{name}UsagePlan")
        assert plan["ApiStages"] == [{"ApiId": {"Ref": "Api"}, "Stage": {"Ref": "Api.Stage"}}]
        assert plan["Throttle"] == {
            "RateLimit": {"Ref": f"{name}RequestsPerSecond"},
            "BurstLimit": {"Ref": f"{name}Burst"},
        }
        assert plan["Quota"] == {"Limit": {"Ref": f"{name}RequestsPerMonth"}, "Period": "MONTH"}
        given = environment("EnsureUsageKeyFunction")[f"{tier}_USAGE_PLAN_ID"]
        assert given == {"Ref": f"{name}UsagePlan"}

    def test_no_tenant_of_any_tier_alone_uses_up_what_bedrock_answers_by_default(self) -> None:
        # Source: AWS documentation, Quotas for Amazon Bedrock: 20 Retrieve requests a second.
        for tier in Tier:
            assert PARAMETERS[f"{tier.title()}RequestsPerSecond"]["Default"] < 20

    @pytest.mark.parametrize("kind", properties("Api")["GatewayResponses"])
    def test_what_api_gateway_answers_itself_is_a_problem_document_with_the_same_status(self, kind: str) -> None:
        response = properties("Api")["GatewayResponses"][kind]
        headers = response["ResponseParameters"]["Headers"]
        assert headers["Content-Type"] == "'application/problem+json'"
        assert ("Retry-After" in headers) == (response.get("StatusCode") == 429)
        body = response["ResponseTemplates"]["application/json"]
        if not kind.startswith("DEFAULT_"):
            assert json.loads(body).keys() == {"type", "title", "status", "code", "detail"}
            assert json.loads(body)["status"] == response["StatusCode"]

    def test_a_verdict_on_a_token_is_kept_for_a_minute_at_most(self) -> None:
        identity = properties("Api")["Auth"]["Authorizers"]["TenantToken"]["Identity"]
        assert 0 < identity["ReauthorizeEvery"] <= 60

    def test_what_anybody_may_call_cannot_use_up_what_the_account_may_answer(self) -> None:
        # Slashes are written as ~1. Source: AWS CloudFormation documentation, AWS::ApiGateway::Stage MethodSetting.
        (setting,) = [each for each in properties("Api")["MethodSettings"] if each["ResourcePath"] == "/~1openapi.json"]
        assert setting["HttpMethod"] == "GET"
        assert setting["ThrottlingRateLimit"] <= setting["ThrottlingBurstLimit"] <= 10

    def test_whoever_has_a_token_cannot_call_what_no_tier_counts_as_often_as_all_may_ask(self) -> None:
        by_token = [(path, event) for path, event in self.by_token() if not event.get("ApiKeyRequired")]
        assert by_token, "else this shows nothing"
        settings = {each["ResourcePath"]: each for each in properties("Api")["MethodSettings"]}
        for path, _ in by_token:
            setting = settings[f"/{path.replace('/', '~1')}"]
            (name,) = {setting[limit]["Ref"] for limit in ("ThrottlingRateLimit", "ThrottlingBurstLimit")}
            assert PARAMETERS[name]["Default"] < PARAMETERS["ApiRequestsPerSecond"]["Default"]

    @staticmethod
    def by_token() -> list[tuple[str, dict[str, Any]]]:
        """Paths that a tenant's user calls, with what their events say of it."""
        of_api = [event for _, event in events("Api")]
        return [(each["Path"], each.get("Auth", {})) for each in of_api if "Authorizer" not in each.get("Auth", {})]

    def test_every_operation_has_a_throttle_that_can_be_set(self) -> None:
        (of_all,) = [each for each in properties("Api")["MethodSettings"] if each["HttpMethod"] == "*"]
        assert of_all == {
            "ResourcePath": "/*",
            "HttpMethod": "*",
            "ThrottlingRateLimit": {"Ref": "ApiRequestsPerSecond"},
            "ThrottlingBurstLimit": {"Ref": "ApiBurst"},
        }
        for name in ("ApiRequestsPerSecond", "ApiBurst"):
            assert PARAMETERS[name]["Default"] >= 100

    def test_what_anybody_may_call_may_do_nothing(self) -> None:
        assert not list(statements(FUNCTIONS["DescribeApiFunction"]))

    def test_the_ask_function_gives_up_before_api_gateway_does(self) -> None:
        # Source: AWS documentation, API Gateway quotas: 29 seconds.
        assert function_property("AskFunction", "Timeout") < 29


class TestTraces:
    def test_the_api_every_function_and_every_execution_is_traced(self) -> None:
        assert template()["Globals"]["Function"]["Tracing"] == "Active"
        assert properties("Api")["TracingEnabled"] is True
        for name in resources("AWS::Serverless::StateMachine"):
            assert properties(name)["Tracing"] == {"Enabled": True}

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_what_a_function_is_given_and_answers_is_in_no_trace(self, name: str) -> None:
        """No function writes segments of its own (docs/decisions/0047)."""
        source = (REPOSITORY / f"{handler_place(name)[0]}.py").read_text("utf-8")
        assert "capture_" not in source


class TestAlarms:
    NAMES = tuple(resources("AWS::CloudWatch::Alarm"))
    REPORTED_OTHERWISE = frozenset(
        {
            # That alerts cannot be delivered cannot be reported by an alert.
            "AlertsUndeliveredAlarm",
            "AlertsWaitingAlarm",
            # Of each failure that they count, people have been notified already.
            "ProvisioningsFailingAlarm",
            "OffboardingsFailingAlarm",
            "RebuildsFailingAlarm",
            # As of each breach.
            "IsolationBreachedAlarm",
        }
    )

    def test_people_hear_of_every_one_but_of_those_that_alerts_cannot_or_need_not_report(self) -> None:
        pattern = properties("AlarmRule")["EventPattern"]
        # All of this application, whose names begin with its stack's, and of no other stack.
        (of_ours,) = pattern["resources"]
        assert of_ours["prefix"]["Fn::Sub"].endswith(":alarm:${AWS::StackName}-")
        assert set(read("monitoring/template.yaml")["Resources"]) >= set(self.NAMES)
        (reported,) = pattern["detail"]["alarmName"]
        assert {name["Ref"] for name in reported["anything-but"]} == self.REPORTED_OTHERWISE <= set(self.NAMES)

    @pytest.mark.parametrize("name", NAMES)
    def test_each_says_when_it_rings_when_it_is_over_and_what_silence_means(self, name: str) -> None:
        alarm = properties(name)
        topic = {"Fn::If": ["AlarmsNotify", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
        assert alarm["AlarmActions"] == topic
        assert alarm["OKActions"] == topic
        # `missing`, the default, would leave an alarm in INSUFFICIENT_DATA, which says nothing to anybody.
        assert alarm["TreatMissingData"] in {"breaching", "notBreaching", "ignore"}
        # Source: CloudWatch API reference, PutMetricAlarm: at most a day, or a week for periods of an hour and more.
        watched_for = alarm["Period"] * alarm["EvaluationPeriods"]
        assert watched_for <= (7 * 86_400 if alarm["Period"] >= 3_600 else 86_400)

    def test_every_channel_can_be_chosen(self) -> None:
        assert template()["Parameters"]["AlertChannel"]["AllowedValues"] == list(ALERT_CHANNELS)

    def test_every_kind_of_incident_has_its_page_of_the_runbook(self) -> None:
        source = (REPOSITORY / "layers" / "kbfleet" / "kbfleet" / "domain" / "alert.py").read_text("utf-8")
        pages = re.findall(r'runbook_link\("([a-z-]+)"\)', source)
        for page in (*pages, "provisioning-failed", "offboarding-failed"):
            assert (REPOSITORY / "docs" / "runbook" / f"{page}.md").is_file()

    @pytest.mark.parametrize("name", NAMES)
    def test_every_one_leads_to_its_page_of_the_runbook(self, name: str) -> None:
        page = re.search(r"See (docs/runbook/([a-z-]+)\.md)$", properties(name)["AlarmDescription"])
        assert page is not None
        text = (REPOSITORY / page[1]).read_text("utf-8")
        assert name in text
        for section in ("Symptom", "Check", "Repair", "Verify"):
            assert section in text
        assert f"({page[2]}.md)" in (REPOSITORY / "docs" / "runbook" / "README.md").read_text("utf-8")

    def test_every_dead_letter_queue_is_watched(self) -> None:
        watched = {
            queue_of(dimension["Value"]).removesuffix(".QueueName")
            for name in resources("AWS::CloudWatch::Alarm")
            for dimension in properties(name)["Dimensions"]
            if dimension["Name"] == "QueueName"
            and properties(name)["MetricName"] == "ApproximateNumberOfMessagesVisible"
        }
        assert {name for name in QUEUES if "DeadLetter" in name} == watched


class TestMonitoring:
    GIVEN = read("template.yaml")["Resources"]["Monitoring"]["Properties"]["Parameters"]

    def test_it_is_given_every_parameter_that_it_has_and_uses_them_all(self) -> None:
        assert set(self.GIVEN) == set(read("monitoring/template.yaml")["Parameters"])
        text = MONITORING.read_text("utf-8")
        for name in self.GIVEN:
            assert re.search(rf"!Ref {name}\b|\${{{name}}}", text), name

    def test_a_parameter_is_called_as_what_it_is_given(self) -> None:
        """So that both files can be searched for one name."""
        otherwise = {"StackName", "ApiStage", "FunctionNames", "AlertQueueArn", "AlertDeadLetterQueueArn"}
        for name in self.GIVEN.keys() - otherwise:
            assert self.GIVEN[name] in ({"Ref": name}, {"Fn::GetAtt": f"{name}.QueueName"})

    def test_the_names_of_all_functions_fit_into_a_parameter(self) -> None:
        # Source: AWS documentation: a parameter's value has 4,096 bytes at most (CloudFormation quotas), a function's
        # name 64 characters (Lambda API reference).
        separator, names = self.GIVEN["FunctionNames"]["Fn::Join"]
        assert separator == ","
        assert sorted(name["Ref"] for name in names) == sorted(FUNCTIONS)
        assert len(FUNCTIONS) * 65 <= 4_096

    def test_the_dashboards_name_is_not_the_one_that_it_had_in_the_whole(self) -> None:
        """CloudFormation deletes that one, in the update that moves it, after this one is made."""
        assert properties("Dashboard")["DashboardName"] != {"Ref": "AWS::StackName"}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_sam_builds_has_no_aliases_and_says_the_same(path: Path) -> None:
    # CloudFormation knows neither aliases nor merges. Source: AWS documentation, CloudFormation template formats.
    read = yaml_parse(path.read_text("utf-8"))
    built = yaml_dump(read)
    assert not re.search(r"(^|[\s\[,])([&*]\w+(\s|$)|<<:)", re.sub(r"'[^']*'|\"[^\"]*\"", "", built), re.MULTILINE)
    assert yaml_parse(built) == read


def test_nothing_deployed_knows_a_local_stack() -> None:
    sources = [*TEMPLATES, *(REPOSITORY / "statemachine").glob("*.json")]
    for folder in ("functions", "layers"):
        sources += [path for path in (REPOSITORY / folder).rglob("*") if path.suffix in {".py", ".json", ".yaml"}]
    assert len(sources) > 30
    for path in sources:
        found = re.search(r"localhost|127\.0\.0\.1|AWS_ENDPOINT_URL|is_local|if local\b", path.read_text("utf-8"))
        assert found is None, f"{path.name}: {found}"


def test_the_state_machines_name_is_the_one_that_its_own_task_may_answer() -> None:
    named = properties("ProvisionTenantStateMachine")["Name"]["Fn::Sub"]
    (answering,) = (
        statement
        for statement in statements(FUNCTIONS["RunFirstSyncFunction"])
        if "states:SendTaskSuccess" in statement["Action"]
    )
    assert answering["Resource"]["Fn::Sub"].endswith(f":stateMachine:{named}")
    assert definition("provision_tenant")["StartAt"] == "Reserve Tenant"


def test_no_boundary_goes_while_roles_that_are_no_part_of_the_stack_have_it() -> None:
    # "DeleteConflict: Cannot delete a policy attached to entities": the deletion of the stack would fail.
    assert kept_by("ServiceRoleBoundary") == ("RetainExceptOnCreate", "Retain")


def test_somebody_hears_when_work_on_a_schedule_fails() -> None:
    alarmed = {
        str(dimension["Value"])
        for alarm in resources("AWS::CloudWatch::Alarm")
        if properties(alarm).get("MetricName") == "Errors"
        for dimension in properties(alarm)["Dimensions"]
    }
    scheduled = {
        name
        for name in FUNCTIONS
        for event in properties(name).get("Events", {}).values()
        if event["Type"] in {"Schedule", "ScheduleV2"}
    }
    assert scheduled
    # A tick is also what changes wait for, which have an alarm of their own.
    assert {str({"Ref": name}) for name in scheduled - {"TickFunction"}} <= alarmed
