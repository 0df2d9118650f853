-- When sightings were written last, by any node, and since when without a break; null: there was none yet.
CREATE TABLE watch (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    since timestamptz,
    until timestamptz NOT NULL
);

-- Nodes write every two seconds: after ten without any, Postgres or all nodes were away, and everybody looks silent. So it is
-- when the last one was written by a clock that was ahead of this one.
CREATE FUNCTION eyeline_watched_since() RETURNS timestamptz LANGUAGE sql VOLATILE
RETURN (SELECT CASE WHEN until NOT BETWEEN now - interval '10 seconds' AND now + interval '1 second' OR since > now THEN now
                    ELSE since END
        FROM watch, (SELECT eyeline_now() AS now) clock);

CREATE FUNCTION eyeline_watch() RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    INSERT INTO watch (until) VALUES (eyeline_now())
    ON CONFLICT (one) DO UPDATE SET since = eyeline_watched_since(), until = eyeline_now();
END;
