"""The one DynamoDB table, a page an aggregate.

Keys: `PK` = `TENANT#<tenant id>`, `SK` = `PROFILE`, `SYNC`, `JOB#<started at>#<job id>`,
`ERASURE#<requested at>#<verified at>`, `REQUESTED_NAME#<name of the execution>`, and `DOCUMENT_ROUND` while a breach is
open. The sparse index `SyncQueue` (`queue`, `queue_position`) holds only tenants that are queued or running, so that a
tick's cost does not depend on how many tenants there are; `Tenants` (`listed`, `tenant_id`) holds the profiles. Beside
them: `PK` = `KNOWLEDGE_STORE#<type>`, `SK` = `INDEX#<tenant id>`, for stores whose service cannot list its indexes; and
`PK` = `FLEET`, `SK` = `ROUND#<name>`, how far a round through all tenants has come.
"""
