-- The two hot writes and the fence, as functions: one round trip and one transaction each, and every
-- statement inside sees what was committed before it (READ COMMITTED).
--
-- The fence: a commit holds its shard's advisory lock shared while it compares the epoch and writes; a
-- claim holds it exclusively while it raises the epoch. Locks are taken in ascending order of shards.
-- 1953460848 is the lock's class, "torp" in ASCII. An advisory lock, because a row lock would write to the shard's row at every commit.

CREATE FUNCTION torpor_claim(who text, most int, lease_seconds float8)
RETURNS TABLE (shard_id int, new_epoch bigint) LANGUAGE plpgsql AS $$
DECLARE
    chosen int[];
    until timestamptz := clock_timestamp() + make_interval(secs => lease_seconds);
BEGIN
    INSERT INTO owner (name, live_until) VALUES (who, until)
    ON CONFLICT (name) DO UPDATE SET live_until = EXCLUDED.live_until;
    SELECT array_agg(id ORDER BY id) INTO chosen FROM (
        SELECT id FROM shard
        WHERE owner IS NULL OR lease_until < clock_timestamp()
        ORDER BY id LIMIT most FOR UPDATE SKIP LOCKED
    ) AS open;
    PERFORM pg_advisory_xact_lock(1953460848, id) FROM unnest(chosen) AS id;
    RETURN QUERY
    UPDATE shard SET epoch = epoch + 1, owner = who, lease_until = until
    WHERE id = ANY (chosen) RETURNING id, epoch;
END $$;

CREATE FUNCTION torpor_start(
    e_key uuid[], e_arn text[], e_name text[], e_machine_arn text[], e_revision_id text[],
    e_shard int[], e_day int[], e_input bytea[], e_input_digest bytea[], e_started_at float8[],
    e_version_arn text[], e_alias_arn text[], e_parent_arn text[], e_trace_header text[],
    b_day int[], b_digest bytea[], b_body bytea[]
) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    inserted uuid[];
    woken text;
BEGIN
    INSERT INTO blob (day, digest, body)
    SELECT * FROM unnest(b_day, b_digest, b_body) ON CONFLICT DO NOTHING;
    WITH new AS (
        INSERT INTO execution (key, arn, name, machine_arn, revision_id, shard, day, status, input,
            input_digest, started_at, machine_version_arn, alias_arn, parent_arn, trace_header)
        SELECT e.key, e.arn, e.name, e.machine_arn, e.revision_id, e.shard, e.day, 'RUNNING',
            e.input, e.input_digest, e.started_at, e.version_arn, e.alias_arn, e.parent_arn,
            e.trace_header
        FROM unnest(e_key, e_arn, e_name, e_machine_arn, e_revision_id, e_shard, e_day, e_input,
            e_input_digest, e_started_at, e_version_arn, e_alias_arn, e_parent_arn, e_trace_header)
            AS e (key, arn, name, machine_arn, revision_id, shard, day, input, input_digest,
                started_at, version_arn, alias_arn, parent_arn, trace_header)
        ON CONFLICT DO NOTHING
        RETURNING execution.key, execution.shard
    ), queued AS (
        INSERT INTO fresh (key, shard) SELECT new.key, new.shard FROM new
    )
    SELECT array_agg(new.key), string_agg(DISTINCT new.shard::text, ',') INTO inserted, woken FROM new;
    IF woken IS NOT NULL THEN
        PERFORM pg_notify('torpor_work', woken);
    END IF;
    RETURN inserted;
END $$;

CREATE FUNCTION torpor_post(p_shard int[], p_execution_arn text[], p_event bytea[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO inbox (shard, execution_arn, event)
    SELECT * FROM unnest(p_shard, p_execution_arn, p_event);
    PERFORM pg_notify('torpor_work', string_agg(DISTINCT shard::text, ','))
    FROM unnest(p_shard) AS shard;
END $$;

-- Gives the free places of a lane to the executions that wait the longest, whichever engine they are
-- of, and returns all that have one. The keys are of executions that come new to the lane.
CREATE FUNCTION torpor_admit(
    p_lane uuid, p_most int, p_key uuid[], p_arn text[], p_at float8[]
) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    room int;
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
        UPDATE lane_place SET admitted = true WHERE key IN (
            SELECT key FROM lane_place WHERE lane = p_lane AND NOT admitted
            ORDER BY at, key LIMIT room
        );
        IF FOUND THEN
            PERFORM pg_notify('torpor_news', p_lane::text);
        END IF;
    END IF;
    RETURN QUERY SELECT arn FROM lane_place WHERE lane = p_lane AND admitted;
END $$;

-- Writes a group of commits; array arguments with one prefix are the columns of one table, `n` in
-- them the place of the commit in the group (from 1). Returns the places of the fenced commits, of
-- which nothing is written.
-- An execution that ended changes only by a redrive, one that succeeded never: of other commits to
-- it (late or repeated ones) only what they consumed is written.
CREATE FUNCTION torpor_commit(
    c_shard int[], c_epoch bigint[], c_key uuid[], c_next_frame int[], c_next_ticket bigint[],
    c_deadline float8[],
    g_n int[],
    f_n int[], f_frame int[], f_phase text[], f_due float8[], f_body bytea[],
    x_n int[], x_frame int[],
    r_n int[], r_frame int[], r_index int[], r_body bytea[],
    q_n int[], q_frame int[], q_index int[],
    d_n int[], d_frame int[],
    h_n int[], h_day int[], h_key uuid[], h_id int[], h_previous int[], h_type text[], h_at float8[],
    h_details bytea[], h_large bytea[],
    b_n int[], b_day int[], b_digest bytea[], b_body bytea[],
    s_n int[], s_status text[], s_stopped_at float8[], s_output bytea[], s_output_digest bytea[],
    s_error text[], s_cause text[], s_redrive_count int[], s_redriven_at float8[],
    m_n int[], m_key uuid[], m_arn text[], m_frame int[], m_day int[], m_status text[],
    m_started_at float8[], m_stopped_at float8[], m_max_concurrency int[],
    m_tolerated_count float8[], m_tolerated_percentage float8[], m_total int[],
    k_n int[], k_run uuid[], k_index int[], k_status text[], k_at float8[],
    l_n int[], l_run uuid[], l_index int[], l_status text[], l_at float8[],
    i_n int[], i_id bigint[]
) RETURNS int[] LANGUAGE plpgsql
-- The planner guesses wrong about arrays and new tables: every access here is by primary key.
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    held boolean[];
    live boolean[];
    redriven int;
    told text;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1953460848, id)
    FROM (SELECT DISTINCT id FROM unnest(c_shard) AS id ORDER BY id) AS ordered;
    SELECT array_agg(coalesce(s.epoch = c.epoch, false) ORDER BY c.n),
        array_agg(coalesce(s.epoch = c.epoch AND e.status = 'RUNNING', false) ORDER BY c.n)
    INTO held, live
    FROM unnest(c_shard, c_epoch, c_key) WITH ORDINALITY AS c (shard, epoch, key, n)
    LEFT JOIN shard s ON s.id = c.shard
    LEFT JOIN execution e ON e.key = c.key;
    IF false = ANY (live) THEN
        FOR redriven IN
            SELECT s.n FROM unnest(s_n, s_redrive_count) AS s (n, redrive_count)
            JOIN execution e ON e.key = c_key[s.n]
            WHERE held[s.n] AND e.status NOT IN ('RUNNING', 'SUCCEEDED')
                AND s.redrive_count > e.redrive_count
        LOOP
            live[redriven] := true;
        END LOOP;
    END IF;

    INSERT INTO frontier (key, next_frame, next_ticket, deadline)
    SELECT c.key, c.next_frame, c.next_ticket, c.deadline
    FROM unnest(c_key, c_next_frame, c_next_ticket, c_deadline) WITH ORDINALITY
        AS c (key, next_frame, next_ticket, deadline, n)
    WHERE live[c.n]
    ON CONFLICT (key) DO UPDATE SET next_frame = EXCLUDED.next_frame,
        next_ticket = EXCLUDED.next_ticket, deadline = EXCLUDED.deadline;

    IF cardinality(g_n) > 0 THEN
        DELETE FROM fresh USING unnest(g_n) AS g (n) WHERE live[g.n] AND fresh.key = c_key[g.n];
    END IF;
    IF cardinality(f_n) > 0 THEN
        INSERT INTO frame (key, frame, phase, due, body)
        SELECT c_key[f.n], f.frame, f.phase, f.due, f.body
        FROM unnest(f_n, f_frame, f_phase, f_due, f_body) AS f (n, frame, phase, due, body)
        WHERE live[f.n]
        ON CONFLICT (key, frame) DO UPDATE
        SET phase = EXCLUDED.phase, due = EXCLUDED.due, body = EXCLUDED.body;
    END IF;
    IF cardinality(x_n) > 0 THEN
        DELETE FROM frame USING unnest(x_n, x_frame) AS x (n, frame)
        WHERE live[x.n] AND frame.key = c_key[x.n] AND frame.frame = x.frame;
    END IF;
    IF cardinality(d_n) > 0 THEN
        DELETE FROM join_result USING unnest(d_n, d_frame) AS d (n, frame)
        WHERE live[d.n] AND join_result.key = c_key[d.n] AND join_result.frame = d.frame;
    END IF;
    IF cardinality(r_n) > 0 THEN
        INSERT INTO join_result (key, frame, index, body)
        SELECT c_key[r.n], r.frame, r.index, r.body
        FROM unnest(r_n, r_frame, r_index, r_body) AS r (n, frame, index, body)
        WHERE live[r.n]
        ON CONFLICT (key, frame, index) DO UPDATE SET body = EXCLUDED.body;
    END IF;
    IF cardinality(q_n) > 0 THEN
        DELETE FROM join_result USING unnest(q_n, q_frame, q_index) AS q (n, frame, index)
        WHERE live[q.n] AND join_result.key = c_key[q.n] AND join_result.frame = q.frame
            AND join_result.index = q.index;
    END IF;
    IF cardinality(b_n) > 0 THEN
        INSERT INTO blob (day, digest, body)
        SELECT b.day, b.digest, b.body
        FROM unnest(b_n, b_day, b_digest, b_body) AS b (n, day, digest, body)
        WHERE live[b.n]
        ON CONFLICT DO NOTHING;
    END IF;
    IF cardinality(h_n) > 0 THEN
        INSERT INTO history (day, key, id, previous, type, at, details, large)
        SELECT h.day, h.key, h.id, h.previous, h.type, h.at, h.details, h.large
        FROM unnest(h_n, h_day, h_key, h_id, h_previous, h_type, h_at, h_details, h_large)
            AS h (n, day, key, id, previous, type, at, details, large)
        WHERE live[h.n]
        ON CONFLICT DO NOTHING;
    END IF;
    IF cardinality(s_n) > 0 THEN
        UPDATE execution
        SET status = s.status, stopped_at = s.stopped_at, output = s.output,
            output_digest = s.output_digest, error = s.error, cause = s.cause,
            redrive_count = s.redrive_count,
            redriven_at = coalesce(s.redriven_at, execution.redriven_at)
        FROM unnest(s_n, s_status, s_stopped_at, s_output, s_output_digest, s_error, s_cause,
            s_redrive_count, s_redriven_at)
            AS s (n, status, stopped_at, output, output_digest, error, cause, redrive_count,
                redriven_at)
        WHERE live[s.n] AND execution.key = c_key[s.n];
        -- Nothing of a succeeded execution can run again.
        DELETE FROM frontier USING unnest(s_n, s_status) AS s (n, status)
        WHERE live[s.n] AND s.status = 'SUCCEEDED' AND frontier.key = c_key[s.n];
        -- Who waits for the end of a nested execution, or for its place in a lane, looks now.
        SELECT string_agg(execution.key::text, ',') INTO told
        FROM unnest(s_n, s_status) AS s (n, status)
        JOIN execution ON execution.key = c_key[s.n] AND execution.parent_arn IS NOT NULL
        WHERE live[s.n] AND s.status <> 'RUNNING';
        IF told IS NOT NULL THEN
            PERFORM pg_notify('torpor_news', told);
        END IF;
        WITH left_lane AS (
            DELETE FROM lane_place USING unnest(s_n, s_status) AS s (n, status)
            WHERE live[s.n] AND s.status <> 'RUNNING' AND lane_place.key = c_key[s.n]
            RETURNING lane_place.lane
        )
        SELECT string_agg(DISTINCT lane::text, ',') INTO told FROM left_lane;
        IF told IS NOT NULL THEN
            PERFORM pg_notify('torpor_news', told);
        END IF;
    END IF;
    IF cardinality(m_n) > 0 THEN
        INSERT INTO map_run (key, arn, execution, frame, day, status, started_at, stopped_at,
            max_concurrency, tolerated_count, tolerated_percentage, total)
        SELECT m.key, m.arn, c_key[m.n], m.frame, m.day, m.status, m.started_at, m.stopped_at,
            m.max_concurrency, m.tolerated_count, m.tolerated_percentage, m.total
        FROM unnest(m_n, m_key, m_arn, m_frame, m_day, m_status, m_started_at, m_stopped_at,
            m_max_concurrency, m_tolerated_count, m_tolerated_percentage, m_total)
            AS m (n, key, arn, frame, day, status, started_at, stopped_at, max_concurrency,
                tolerated_count, tolerated_percentage, total)
        WHERE live[m.n]
        -- A run that ended stays as it ended until a redrive makes it run again.
        ON CONFLICT (key) DO UPDATE SET status = EXCLUDED.status, stopped_at = EXCLUDED.stopped_at,
            max_concurrency = CASE WHEN EXCLUDED.status = 'RUNNING'
                THEN EXCLUDED.max_concurrency ELSE map_run.max_concurrency END,
            tolerated_count = CASE WHEN EXCLUDED.status = 'RUNNING'
                THEN EXCLUDED.tolerated_count ELSE map_run.tolerated_count END,
            tolerated_percentage = CASE WHEN EXCLUDED.status = 'RUNNING'
                THEN EXCLUDED.tolerated_percentage ELSE map_run.tolerated_percentage END,
            total = greatest(map_run.total, EXCLUDED.total)
        WHERE map_run.status = 'RUNNING' OR EXCLUDED.status = 'RUNNING';
    END IF;
    IF cardinality(k_n) > 0 THEN
        INSERT INTO map_child (run, index, status, started_at)
        SELECT k.run, k.index, k.status, k.at
        FROM unnest(k_n, k_run, k_index, k_status, k_at) AS k (n, run, index, status, at)
        WHERE live[k.n]
        ON CONFLICT (run, index) DO UPDATE SET status = EXCLUDED.status, stopped_at = NULL;
    END IF;
    IF cardinality(l_n) > 0 THEN
        UPDATE map_child SET status = l.status, stopped_at = l.at
        FROM unnest(l_n, l_run, l_index, l_status, l_at) AS l (n, run, index, status, at)
        WHERE live[l.n] AND map_child.run = l.run AND map_child.index = l.index;
    END IF;
    IF cardinality(m_n) > 0 THEN
        UPDATE map_child SET status = 'ABORTED', stopped_at = m.stopped_at
        FROM unnest(m_n, m_key, m_status, m_stopped_at) AS m (n, key, status, stopped_at)
        WHERE live[m.n] AND m.status <> 'RUNNING'
            AND map_child.run = m.key AND map_child.status = 'RUNNING';
    END IF;
    IF cardinality(i_n) > 0 THEN
        DELETE FROM inbox USING unnest(i_n, i_id) AS i (n, id) WHERE held[i.n] AND inbox.id = i.id;
        DELETE FROM activity_task USING unnest(i_n, i_id) AS i (n, id)
        WHERE held[i.n] AND activity_task.taken = i.id;
    END IF;
    RETURN (SELECT coalesce(array_agg(n), '{}') FROM generate_subscripts(held, 1) AS n
        WHERE NOT held[n]);
END $$;
