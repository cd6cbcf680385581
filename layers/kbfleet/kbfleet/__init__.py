"""kbfleet: a fleet of Amazon Bedrock Knowledge Bases, one per tenant."""
