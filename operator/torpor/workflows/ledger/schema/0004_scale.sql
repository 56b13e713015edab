-- What listings and retention look for is found by an index, however many executions are kept.
CREATE INDEX execution_redriven ON execution (machine_arn, started_at DESC, key DESC)
    WHERE redrive_count > 0;
CREATE INDEX execution_by_revision ON execution (machine_arn, revision_id);
-- Of type json and not jsonb, which refuses some strings that a definition may have.
CREATE FUNCTION torpor_retention_days(body bytea) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
    SELECT (convert_from(body, 'UTF8')::json -> 'options' ->> 'retention_days')::float8
$$;
ALTER TABLE revision ADD COLUMN retention_days float8
    GENERATED ALWAYS AS (torpor_retention_days(body)) STORED;
CREATE INDEX revision_by_retention ON revision (retention_days);

-- Gives the free places of a lane to the executions that wait the longest, whichever engine they are
-- of, and wakes the owners of those that got one. The keys are of executions that come new to the
-- lane. Returns the ARNs of those among them that have a place, and whether anybody waits for one.
CREATE FUNCTION torpor_places(
    p_lane uuid, p_most int, p_key uuid[], p_arn text[], p_at float8[],
    OUT placed text[], OUT waiting boolean
) LANGUAGE plpgsql AS $$
DECLARE
    room int;
    woken text;
BEGIN
    PERFORM pg_advisory_xact_lock(1953460849, hashtext(p_lane::text));
    INSERT INTO lane_place (key, lane, arn, at)
    SELECT new.key, p_lane, new.arn, new.at FROM unnest(p_key, p_arn, p_at) AS new (key, arn, at)
    JOIN execution ON execution.key = new.key AND execution.status = 'RUNNING'
    ON CONFLICT DO NOTHING;
    -- An execution that ended in the very moment in which it came.
    DELETE FROM lane_place USING execution
    WHERE lane_place.lane = p_lane AND lane_place.admitted AND execution.key = lane_place.key
        AND execution.status <> 'RUNNING';
    SELECT p_most - count(*) INTO room FROM lane_place WHERE lane = p_lane AND admitted;
    IF room > 0 THEN
        WITH next AS (
            UPDATE lane_place SET admitted = true WHERE key IN (
                SELECT key FROM lane_place WHERE lane = p_lane AND NOT admitted
                ORDER BY at, key LIMIT room
            ) RETURNING key
        )
        SELECT string_agg(DISTINCT fresh.shard::text, ',') INTO woken
        FROM next JOIN fresh ON fresh.key = next.key WHERE next.key <> ALL (p_key);
        IF woken IS NOT NULL THEN
            PERFORM pg_notify('torpor_work', woken);
        END IF;
    END IF;
    placed := ARRAY(
        SELECT arn FROM lane_place WHERE lane = p_lane AND admitted AND key = ANY (p_key)
    );
    waiting := EXISTS (SELECT FROM lane_place WHERE lane = p_lane AND NOT admitted);
END $$;
