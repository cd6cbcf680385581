"""kbfleet: a fleet of Amazon Bedrock Knowledge Bases, one per tenant."""

import gc

# A function's start makes some 100,000 objects that stay (modules, classes, boto3's models). Python looks for cycles
# among them again and again (https://docs.python.org/3/library/gc.html#gc.set_threshold) and finds nothing to free: a
# fifth of all that importing takes. What is made afterwards is freed by counting references, but for cycles, which are
# few and wait here for longer.
gc.set_threshold(200_000, 10, 10)
