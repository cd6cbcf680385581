"""How soon uploads become searchable, at what cost, under which policy: in virtual time, within Bedrock's quotas."""
