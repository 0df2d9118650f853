-- As before, but offers are locked before any of their partitions is.
CREATE OR REPLACE FUNCTION eyeline_keep_offer_partitions(ahead_days integer, keep_days integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    today date := (eyeline_now() AT TIME ZONE 'UTC')::date;
    day   date;
    part  text;
    first uuid;
    next  uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('eyeline_offer_partitions'));
    FOR i IN 0..ahead_days LOOP
        day := today + i;
        part := 'offers_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(part) IS NOT NULL;
        first := eyeline_uuid_at(day::timestamp AT TIME ZONE 'UTC');
        next := eyeline_uuid_at((day + 1)::timestamp AT TIME ZONE 'UTC');
        -- Requests before offers, as everywhere, and offers before their partitions, as whoever reads them does, or this and
        -- they could wait for each other: the plan that serves all values locks every partition, the default one too.
        LOCK TABLE requests IN EXCLUSIVE MODE;
        LOCK TABLE offers IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE %I (LIKE offers INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
        EXECUTE format('WITH stray AS (DELETE FROM offers_other WHERE request_id >= %L AND request_id < %L RETURNING *)
                        INSERT INTO %I SELECT * FROM stray', first, next, part);
        EXECUTE format('ALTER TABLE offers ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, first, next);
    END LOOP;
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'offers'::regclass AND c.relname ~ '^offers_[0-9]{8}$'
          AND to_date(right(c.relname, 8), 'YYYYMMDD') < today - keep_days
    LOOP
        EXECUTE format('DROP TABLE %I', part);
    END LOOP;
    DELETE FROM offers_other WHERE request_id < eyeline_uuid_at((today - keep_days)::timestamp AT TIME ZONE 'UTC');
END $$;
