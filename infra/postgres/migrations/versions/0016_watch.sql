-- When sightings were written last, by any node, and since when without a break; null: there was none yet.
CREATE TABLE watch (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    since timestamptz,
    until timestamptz NOT NULL
);

-- Nodes write every two seconds: after six without any, Postgres or all nodes were away, and everybody looks silent.
CREATE FUNCTION eyeline_watched_since() RETURNS timestamptz LANGUAGE sql VOLATILE
RETURN (SELECT CASE WHEN until < eyeline_now() - interval '6 seconds' THEN eyeline_now() ELSE since END FROM watch);

CREATE FUNCTION eyeline_watch() RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    INSERT INTO watch (until) VALUES (eyeline_now())
    ON CONFLICT (one) DO UPDATE SET since = eyeline_watched_since(), until = greatest(watch.until, eyeline_now());
END;
