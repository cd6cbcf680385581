"""The ports' real implementations, on boto3. AWS errors are translated here, once."""
