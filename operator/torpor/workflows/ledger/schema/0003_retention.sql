-- What is past its retention is found by when it ended, without a look at all that is kept.
CREATE INDEX execution_by_end ON execution (stopped_at) WHERE status <> 'RUNNING';
