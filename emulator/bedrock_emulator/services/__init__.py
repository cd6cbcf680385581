"""The operations of the services, and the work that ingestion jobs do."""
