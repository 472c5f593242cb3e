-- What was acknowledged stays on the disk when parts are merged.
--
-- An insert is synced before it is answered, but servers sync neither what a merge or a mutation writes nor
-- what a replica fetches, and delete the sources some time later: without these settings a power failure
-- takes rows whose spool is long gone. Sources are kept for as long as servers keep them by default; the
-- embedded engine's default is not to.

ALTER TABLE llm_traces{local} {on_cluster} MODIFY SETTING
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_fetch = 1, old_parts_lifetime = 480;

ALTER TABLE llm_trace_losses {on_cluster} MODIFY SETTING
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_fetch = 1, old_parts_lifetime = 480;

ALTER TABLE llm_usage_hourly{local} {on_cluster} MODIFY SETTING
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_fetch = 1, old_parts_lifetime = 480;

ALTER TABLE llm_usage_doubts {on_cluster} MODIFY SETTING
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_fetch = 1, old_parts_lifetime = 480;

ALTER TABLE llmledger_migrations {on_cluster} MODIFY SETTING
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_fetch = 1, old_parts_lifetime = 480;
