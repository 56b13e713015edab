-- What listings and retention look for is found by an index, however many executions are kept.
CREATE INDEX execution_redriven ON execution (machine_arn, started_at DESC, key DESC)
    WHERE redrive_count > 0;
CREATE INDEX execution_by_revision ON execution (machine_arn, revision_id);
