-- Executions that wait for a place in a lane are not looked at with those that can begin.
ALTER TABLE fresh ADD COLUMN waits boolean NOT NULL DEFAULT false;
CREATE INDEX fresh_ready ON fresh (shard) WHERE NOT waits;

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
        ), ready AS (
            UPDATE fresh SET waits = false FROM next
            WHERE fresh.key = next.key AND fresh.waits RETURNING fresh.key, fresh.shard
        )
        SELECT string_agg(DISTINCT ready.shard::text, ',') INTO woken
        FROM ready WHERE ready.key <> ALL (p_key);
        IF woken IS NOT NULL THEN
            PERFORM pg_notify('torpor_work', woken);
        END IF;
    END IF;
    UPDATE fresh SET waits = true FROM lane_place
    WHERE fresh.key = ANY (p_key) AND NOT fresh.waits
        AND lane_place.key = fresh.key AND NOT lane_place.admitted;
    placed := ARRAY(
        SELECT arn FROM lane_place WHERE lane = p_lane AND admitted AND key = ANY (p_key)
    );
    waiting := EXISTS (SELECT FROM lane_place WHERE lane = p_lane AND NOT admitted);
END $$;

-- An engine of an older release admits through this; what it lets begin is looked at again.
CREATE OR REPLACE FUNCTION torpor_admit(
    p_lane uuid, p_most int, p_key uuid[], p_arn text[], p_at float8[]
) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    had uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(1953460849, hashtext(p_lane::text));
    had := ARRAY(SELECT key FROM lane_place WHERE lane = p_lane AND admitted);
    PERFORM torpor_places(p_lane, p_most, p_key, p_arn, p_at);
    IF EXISTS (
        SELECT FROM lane_place WHERE lane = p_lane AND admitted AND key <> ALL (had)
    ) THEN
        PERFORM pg_notify('torpor_news', p_lane::text);
    END IF;
    RETURN QUERY SELECT arn FROM lane_place WHERE lane = p_lane AND admitted;
END $$;
