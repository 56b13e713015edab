-- The ledger's tables. An execution is known by a key: a hash of its ARN. `day` is always the day
-- (since 1970) on which the execution started: history and blobs are partitioned by it, so that
-- retention drops whole partitions and never searches for what still refers to a blob.

CREATE TABLE setting (
    name text PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE shard (
    id int PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    owner text,
    lease_until timestamptz
) WITH (fillfactor = 50);

CREATE TABLE owner (
    name text PRIMARY KEY,
    live_until timestamptz NOT NULL
);

CREATE TABLE machine (
    arn text PRIMARY KEY,
    name text NOT NULL,
    status text NOT NULL,
    revision_id text NOT NULL,
    created_at float8 NOT NULL,
    last_version int NOT NULL DEFAULT 0
);
CREATE INDEX machine_by_name ON machine (name, arn);

CREATE TABLE revision (
    machine_arn text NOT NULL,
    revision_id text NOT NULL,
    updated_at float8 NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (machine_arn, revision_id)
);

CREATE TABLE version (
    machine_arn text NOT NULL,
    number int NOT NULL,
    arn text NOT NULL UNIQUE,
    revision_id text NOT NULL,
    description text,
    created_at float8 NOT NULL,
    PRIMARY KEY (machine_arn, number)
);

CREATE TABLE alias (
    arn text PRIMARY KEY,
    machine_arn text NOT NULL,
    name text NOT NULL,
    description text,
    routing text NOT NULL,
    created_at float8 NOT NULL,
    updated_at float8 NOT NULL
);
CREATE INDEX alias_by_machine ON alias (machine_arn, name);

CREATE TABLE tag (
    arn text NOT NULL,
    name text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (arn, name)
);

CREATE TABLE activity (
    arn text PRIMARY KEY,
    name text NOT NULL,
    created_at float8 NOT NULL
);
CREATE INDEX activity_by_name ON activity (name, arn);

CREATE TABLE execution (
    key uuid PRIMARY KEY,
    arn text NOT NULL,
    name text NOT NULL,
    machine_arn text NOT NULL,
    revision_id text NOT NULL,
    shard int NOT NULL,
    day int NOT NULL,
    status text NOT NULL,
    input bytea,
    input_digest bytea NOT NULL,
    started_at float8 NOT NULL,
    stopped_at float8,
    output bytea,
    output_digest bytea,
    error text,
    cause text,
    redrive_count int NOT NULL DEFAULT 0,
    redriven_at float8,
    machine_version_arn text,
    alias_arn text,
    parent_arn text,
    trace_header text
) WITH (fillfactor = 80);
CREATE INDEX execution_running ON execution (shard) WHERE status = 'RUNNING';
CREATE INDEX execution_by_start ON execution (started_at DESC, key DESC);
CREATE INDEX execution_by_machine ON execution (machine_arn, started_at DESC, key DESC);
CREATE INDEX execution_by_status ON execution (machine_arn, status, started_at DESC, key DESC);
CREATE INDEX execution_by_day ON execution (day);

-- Executions of which no step was committed yet.
CREATE TABLE fresh (
    key uuid PRIMARY KEY,
    shard int NOT NULL
);
CREATE INDEX fresh_by_shard ON fresh (shard);

-- The part of a frontier that is not in its frames. Narrow, because every commit updates it.
CREATE TABLE frontier (
    key uuid PRIMARY KEY,
    next_frame int NOT NULL,
    next_ticket bigint NOT NULL,
    deadline float8
) WITH (fillfactor = 70);

-- The frames are also the outbox (phase 'task') and the timers (due).
CREATE TABLE frame (
    key uuid NOT NULL,
    frame int NOT NULL,
    phase text NOT NULL,
    due float8,
    body bytea NOT NULL,
    PRIMARY KEY (key, frame)
) WITH (fillfactor = 70);

CREATE TABLE join_result (
    key uuid NOT NULL,
    frame int NOT NULL,
    index int NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (key, frame, index)
);

CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard int NOT NULL,
    execution_arn text NOT NULL,
    event bytea NOT NULL
);
CREATE INDEX inbox_by_shard ON inbox (shard, id);

-- Tasks that wait for a worker to poll for them. `taken` is the id of the posted event that tells the
-- execution who took it; the row goes when that event is used up.
CREATE TABLE activity_task (
    key uuid NOT NULL,
    frame int NOT NULL,
    ticket bigint NOT NULL,
    activity uuid NOT NULL,
    execution_arn text NOT NULL,
    shard int NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    input bytea NOT NULL,
    taken bigint,
    PRIMARY KEY (key, frame, ticket)
);
CREATE INDEX activity_task_open ON activity_task (activity, id) WHERE taken IS NULL;
CREATE INDEX activity_task_taken ON activity_task (taken) WHERE taken IS NOT NULL;

-- Executions that have, or wait for, one of the places of a lane (a concurrency limit's key).
CREATE TABLE lane_place (
    key uuid PRIMARY KEY,
    lane uuid NOT NULL,
    arn text NOT NULL,
    at float8 NOT NULL,
    admitted boolean NOT NULL DEFAULT false
);
CREATE INDEX lane_place_by_lane ON lane_place (lane, admitted, at, key);

CREATE TABLE map_run (
    key uuid PRIMARY KEY,
    arn text NOT NULL,
    execution uuid NOT NULL,
    frame int NOT NULL,
    day int NOT NULL,
    status text NOT NULL,
    started_at float8 NOT NULL,
    stopped_at float8,
    max_concurrency int NOT NULL,
    tolerated_count float8 NOT NULL,
    tolerated_percentage float8 NOT NULL,
    total int NOT NULL
);
CREATE INDEX map_run_by_execution ON map_run (execution, frame);

CREATE TABLE map_child (
    run uuid NOT NULL,
    index int NOT NULL,
    status text NOT NULL,
    started_at float8 NOT NULL,
    stopped_at float8,
    PRIMARY KEY (run, index)
);

-- `key` is the execution's, or the hash of a Map Run child's ARN.
CREATE TABLE history (
    day int NOT NULL,
    key uuid NOT NULL,
    id int NOT NULL,
    previous int NOT NULL,
    type text NOT NULL,
    at float8 NOT NULL,
    details bytea NOT NULL,
    large bytea,
    PRIMARY KEY (day, key, id)
) PARTITION BY LIST (day);

CREATE TABLE blob (
    day int NOT NULL,
    digest bytea NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (day, digest)
) PARTITION BY LIST (day);

DO $$
BEGIN
    ALTER TABLE blob ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    -- Without lz4: pglz would take longer than writing the bytes as they are.
    ALTER TABLE blob ALTER COLUMN body SET STORAGE EXTERNAL;
END $$;
