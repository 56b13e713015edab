-- An execution that another one started knows which task did, so that the task finds it again however
-- it was named, and through how many others it was started.
ALTER TABLE execution ADD COLUMN parent_task text;
ALTER TABLE execution ADD COLUMN depth int NOT NULL DEFAULT 0;

-- What `torpor_start` does, but only for a machine that is ACTIVE and still has the revision; `refused`
-- are the others, except those that run already. Starts of a machine hold its advisory lock shared until they are committed, a
-- deletion holds it exclusively: it sees every execution that was started before it. An advisory lock,
-- because a row lock would write to the machine's row at every start.
CREATE FUNCTION torpor_begin(
    e_key uuid[], e_arn text[], e_name text[], e_machine_arn text[], e_revision_id text[],
    e_shard int[], e_day int[], e_input bytea[], e_input_digest bytea[], e_started_at float8[],
    e_version_arn text[], e_alias_arn text[], e_parent_arn text[], e_trace_header text[],
    e_parent_task text[], e_depth int[],
    b_day int[], b_digest bytea[], b_body bytea[],
    OUT inserted uuid[], OUT refused uuid[]
) LANGUAGE plpgsql AS $$
DECLARE
    woken text;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1953460850, id) FROM (
        SELECT DISTINCT hashtext(arn) AS id FROM unnest(e_machine_arn) AS arn ORDER BY id
    ) AS ordered;
    SELECT array_agg(e.key) INTO refused
    FROM unnest(e_key, e_machine_arn, e_revision_id) AS e (key, machine_arn, revision_id)
    WHERE ((SELECT status FROM machine m WHERE m.arn = e.machine_arn) IS DISTINCT FROM 'ACTIVE'
        OR (SELECT r.revision_id FROM revision r
            WHERE r.machine_arn = e.machine_arn AND r.revision_id = e.revision_id) IS NULL)
        AND (SELECT x.key FROM execution x WHERE x.key = e.key) IS NULL;
    INSERT INTO blob (day, digest, body)
    SELECT * FROM unnest(b_day, b_digest, b_body) ON CONFLICT DO NOTHING;
    WITH new AS (
        INSERT INTO execution (key, arn, name, machine_arn, revision_id, shard, day, status, input,
            input_digest, started_at, machine_version_arn, alias_arn, parent_arn, trace_header,
            parent_task, depth)
        SELECT e.key, e.arn, e.name, e.machine_arn, e.revision_id, e.shard, e.day, 'RUNNING',
            e.input, e.input_digest, e.started_at, e.version_arn, e.alias_arn, e.parent_arn,
            e.trace_header, e.parent_task, e.depth
        FROM unnest(e_key, e_arn, e_name, e_machine_arn, e_revision_id, e_shard, e_day, e_input,
            e_input_digest, e_started_at, e_version_arn, e_alias_arn, e_parent_arn, e_trace_header,
            e_parent_task, e_depth)
            AS e (key, arn, name, machine_arn, revision_id, shard, day, input, input_digest,
                started_at, version_arn, alias_arn, parent_arn, trace_header, parent_task, depth)
        WHERE refused IS NULL OR e.key <> ALL (refused)
        ON CONFLICT DO NOTHING
        RETURNING execution.key, execution.shard
    ), queued AS (
        INSERT INTO fresh (key, shard) SELECT new.key, new.shard FROM new
    )
    SELECT array_agg(new.key), string_agg(DISTINCT new.shard::text, ',') INTO inserted, woken
    FROM new;
    IF woken IS NOT NULL THEN
        PERFORM pg_notify('torpor_work', woken);
    END IF;
END $$;
