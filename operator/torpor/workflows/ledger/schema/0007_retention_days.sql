-- The days that a revision's executions are kept, without a look at its definition.
-- Of type json and not jsonb, which refuses some strings that a definition may have.
CREATE FUNCTION torpor_retention_days(body bytea) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
    SELECT (convert_from(body, 'UTF8')::json -> 'options' ->> 'retention_days')::float8
$$;
ALTER TABLE revision ADD COLUMN retention_days float8
    GENERATED ALWAYS AS (torpor_retention_days(body)) STORED;
CREATE INDEX revision_by_retention ON revision (retention_days);
