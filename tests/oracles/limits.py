"""What AWS takes at most, each with its source. Sizes are in bytes unless they say otherwise."""

from __future__ import annotations

from collections.abc import Mapping

# Source: AWS CloudFormation User Guide, Understand CloudFormation quotas. It says "1 MB"; the smaller reading is taken.
TEMPLATE_BYTES = 1_000_000
TEMPLATE_DESCRIPTION_BYTES = 1_024
RESOURCES = 500
PARAMETERS = 200
OUTPUTS = 200
NAME_CHARACTERS = 255
"""Of a logical id, a parameter and an output."""
PARAMETER_DESCRIPTION_CHARACTERS = 4_000
PARAMETER_VALUE_BYTES = 4_096

# Source: IAM User Guide, IAM and AWS STS quotas. IAM does not count white space.
ROLE_INLINE_CHARACTERS = 10_240
"""Of all inline policies of a role together."""
MANAGED_POLICY_CHARACTERS = 6_144
TRUST_POLICY_CHARACTERS = 2_048
"""By default; up to 4,096 for those who ask."""
MANAGED_POLICIES_OF_A_ROLE = 10

# Source: AWS Lambda Developer Guide, Lambda quotas.
ENVIRONMENT_BYTES = 4_096
"""Of all variables together. What is measured is their JSON, as Lambda's message about it shows (reported by users)."""
FUNCTION_POLICY_BYTES = 20_480
LAYERS_OF_A_FUNCTION = 5

# Source: Amazon EventBridge User Guide, Amazon EventBridge quotas.
EVENT_PATTERN_CHARACTERS = 2_048
TARGETS_OF_A_RULE = 5
RULES_OF_A_BUS = 300

# Source: Amazon SQS Developer Guide, Amazon SQS policy quotas.
QUEUE_POLICY_BYTES = 8_192
QUEUE_POLICY_STATEMENTS = 20

# Source: AWS Step Functions Developer Guide, Step Functions service quotas: the size of a request.
DEFINITION_BYTES = 1_048_576

# Source: Amazon API Gateway Developer Guide, Quotas for configuring and running a REST API.
API_RESOURCES = 300

STACK_NAME_CHARACTERS = 128
"""Source: AWS CloudFormation API Reference, CreateStack."""
FLEET_NAME_CHARACTERS = 12
"""Source: `FleetName` in template.yaml."""
RANDOM_SUFFIX_CHARACTERS = 12
"""At the end of the names that CloudFormation makes."""
RANDOM_SUFFIXES: Mapping[str, int] = {"AWS::CloudFormation::Stack": 13}
"""Of those types that have another one (reported by users)."""
NAMED_WITHOUT_THE_STACK = frozenset({"AWS::SecretsManager::Secret"})
"""Types whose made names begin with the logical id, as users' ARNs show."""
NAMES_MADE_BY_CLOUDFORMATION: Mapping[str, int] = {
    "AWS::ApiGateway::Deployment": 10,  # an id
    "AWS::ApiGateway::RestApi": 10,  # the same
    "AWS::ApiGateway::UsagePlan": 10,  # the same
    "AWS::CloudFormation::Stack": STACK_NAME_CHARACTERS,
    "AWS::CloudWatch::Alarm": 255,  # CloudWatch API Reference, PutMetricAlarm
    "AWS::DynamoDB::Table": 255,  # DynamoDB API Reference, CreateTable
    "AWS::Events::Rule": 64,  # EventBridge API Reference, PutRule
    "AWS::IAM::ManagedPolicy": 128,  # IAM and AWS STS quotas
    "AWS::IAM::Role": 64,  # the same
    "AWS::Lambda::Function": 64,  # Lambda API Reference, CreateFunction
    "AWS::Lambda::LayerVersion": 140,  # Lambda API Reference, PublishLayerVersion
    "AWS::Logs::LogGroup": 512,  # CloudWatch Logs API Reference, CreateLogGroup
    "AWS::OpenSearchServerless::Collection": 40,  # an id: OpenSearch Serverless API Reference, CollectionDetail
    "AWS::SecretsManager::Secret": 512,  # Secrets Manager API Reference, CreateSecret
    "AWS::SNS::Topic": 256,  # SNS API Reference, CreateTopic
    "AWS::SQS::Queue": 80,  # SQS API Reference, CreateQueue
}
"""Characters at most, by the type of the resource. CloudFormation makes a name of the stack's, the logical id and a
random suffix, and cuts it to what the service takes (CloudFormation User Guide, Name type)."""
