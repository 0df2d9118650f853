-- A person and the phone of some node. Waiting for one until there is room; from then on a call as any other, whose other
-- side has the call's own id as its person and its session. `phone_until`: the phone's node is there at least so long.
CREATE TABLE practice_calls (
    id                 uuid PRIMARY KEY DEFAULT uuidv7(),
    person_id          uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    session_id         uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    side               text NOT NULL CHECK (side IN ('requester', 'volunteer')),  -- the person's
    language           text NOT NULL,
    asked_at           timestamptz NOT NULL DEFAULT eyeline_now(),
    state              text NOT NULL DEFAULT 'waiting'
                       CHECK (state IN ('waiting', 'connecting', 'connected', 'reconnecting', 'ended')),
    attempt            integer NOT NULL DEFAULT 1 CHECK (attempt >= 1),
    media              jsonb NOT NULL DEFAULT '{}',
    away_since         timestamptz,
    phone_media        jsonb NOT NULL DEFAULT '{}',
    phone_until        timestamptz,
    began_at           timestamptz,
    ends_at            timestamptz,
    connect_by         timestamptz,
    connected_at       timestamptz,
    reconnecting_since timestamptz,
    ended_at           timestamptz,
    end_reason         text,
    ended_by           text CHECK (ended_by IN ('requester', 'volunteer')),
    version            bigint NOT NULL DEFAULT 1,
    told_version       bigint NOT NULL DEFAULT 0,
    next_look_at       timestamptz,
    CHECK (state = 'waiting' OR num_nulls(began_at, ends_at, connect_by, phone_until) = 0),
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK ((state = 'ended') = (end_reason IS NOT NULL)),
    CHECK (state IN ('waiting', 'ended') OR next_look_at IS NOT NULL)
);
CREATE UNIQUE INDEX practice_calls_one ON practice_calls (person_id) WHERE state <> 'ended';
CREATE INDEX practice_calls_waiting ON practice_calls (asked_at, id) WHERE state = 'waiting';
CREATE INDEX practice_calls_due ON practice_calls (next_look_at) WHERE next_look_at IS NOT NULL;
CREATE INDEX practice_calls_ended ON practice_calls (ended_at) WHERE state = 'ended';

ALTER TABLE busy DROP CONSTRAINT busy_what_check, ADD CHECK (what IN ('offer', 'call', 'practice'));

-- Whoever is in a practice call does not ask: a call that begins just now is waited for, and seen.
CREATE FUNCTION eyeline_guard_practising() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM users WHERE id = NEW.requester_id FOR KEY SHARE;
    IF EXISTS (SELECT FROM practice_calls p WHERE p.person_id = NEW.requester_id AND p.state NOT IN ('waiting', 'ended')) THEN
        RAISE EXCEPTION 'whoever is in a practice call does not ask'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'requests_not_practising';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_practising BEFORE INSERT ON requests FOR EACH ROW EXECUTE FUNCTION eyeline_guard_practising();
