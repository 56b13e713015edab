-- Which wait of which frame an event answers: of several answers that came before the execution has
-- heard of any, the first is kept.
ALTER TABLE inbox ADD COLUMN answers text;
CREATE UNIQUE INDEX inbox_by_answer ON inbox (execution_arn, answers) WHERE answers IS NOT NULL;

-- What `torpor_post` does, and returns of the answers those that were kept.
CREATE FUNCTION torpor_deliver(
    p_shard int[], p_execution_arn text[], p_event bytea[], p_answers text[]
) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    kept text[];
    woken text;
BEGIN
    WITH new AS (
        INSERT INTO inbox (shard, execution_arn, event, answers)
        SELECT * FROM unnest(p_shard, p_execution_arn, p_event, p_answers)
        ON CONFLICT DO NOTHING
        RETURNING shard, execution_arn, answers
    )
    SELECT array_agg(new.execution_arn || ' ' || new.answers), string_agg(DISTINCT new.shard::text, ',')
    INTO kept, woken FROM new;
    IF woken IS NOT NULL THEN
        PERFORM pg_notify('torpor_work', woken);
    END IF;
    RETURN kept;
END $$;
