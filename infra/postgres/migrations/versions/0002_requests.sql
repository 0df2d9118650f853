-- The languages a person is found under (matching/languages.py), kept beside the tags they chose.
ALTER TABLE users ADD COLUMN index_languages text[] NOT NULL DEFAULT '{}';

-- A person's wish for help now. Whoever decides anything about it, its offers or its call locks this row first.
CREATE TABLE requests (
    id              uuid PRIMARY KEY DEFAULT uuidv7(),
    requester_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    session_id      uuid NOT NULL REFERENCES sessions,
    idempotency_key text CHECK (char_length(idempotency_key) BETWEEN 1 AND 255),
    body_hash       bytea NOT NULL CHECK (octet_length(body_hash) = 32),
    state           text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'connecting', 'in_call', 'ended')),
    outcome         text CHECK (outcome IN ('completed', 'cancelled', 'expired', 'failed')),
    languages       text[] NOT NULL CHECK (cardinality(languages) BETWEEN 1 AND 20),
    index_languages text[] NOT NULL CHECK (cardinality(index_languages) BETWEEN 1 AND 20),
    topic           text,
    mode            text NOT NULL CHECK (mode IN ('video', 'voice', 'text')),
    created_at      timestamptz NOT NULL,
    waiting_since   timestamptz NOT NULL,  -- of the present epoch
    deadline        timestamptz NOT NULL,
    epoch           integer NOT NULL DEFAULT 1 CHECK (epoch >= 1),
    returns         integer NOT NULL DEFAULT 0 CHECK (returns >= 0),
    wave            integer NOT NULL DEFAULT 0 CHECK (wave >= 0),
    asked           integer NOT NULL DEFAULT 0 CHECK (asked >= 0),
    hungry          boolean NOT NULL DEFAULT true,  -- wants people it has not got
    call_id         uuid,
    next_look_at    timestamptz,
    version         bigint NOT NULL DEFAULT 1,
    told_version    bigint NOT NULL DEFAULT 0,
    progress_note   text,
    progress_asked  integer,
    progress_at     timestamptz,
    ended_at        timestamptz,
    UNIQUE (requester_id, idempotency_key),
    CHECK ((state = 'ended') = (outcome IS NOT NULL)),
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK (state = 'ended' OR next_look_at IS NOT NULL),
    CHECK (state NOT IN ('connecting', 'in_call') OR call_id IS NOT NULL),
    CHECK (state <> 'waiting' OR call_id IS NULL)
);
CREATE UNIQUE INDEX requests_one_open ON requests (requester_id) WHERE state <> 'ended';
CREATE INDEX requests_due ON requests (next_look_at) WHERE next_look_at IS NOT NULL;
CREATE INDEX requests_waiting ON requests (created_at, id) WHERE state = 'waiting';
CREATE INDEX requests_ended ON requests (ended_at) WHERE state = 'ended';

-- Two people in one conversation. `version` counts what people are told; a media report alone does not raise it.
CREATE TABLE calls (
    id                   uuid PRIMARY KEY DEFAULT uuidv7(),
    request_id           uuid NOT NULL REFERENCES requests ON DELETE CASCADE,
    epoch                integer NOT NULL,
    attempt              integer NOT NULL DEFAULT 1 CHECK (attempt >= 1),
    state                text NOT NULL DEFAULT 'connecting'
                         CHECK (state IN ('connecting', 'connected', 'reconnecting', 'ended')),
    mode                 text NOT NULL,
    language             text NOT NULL,
    requester_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    requester_session    uuid NOT NULL REFERENCES sessions,
    requester_media      jsonb NOT NULL DEFAULT '{}',
    requester_away_since timestamptz,
    volunteer_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    volunteer_session    uuid NOT NULL REFERENCES sessions,
    volunteer_media      jsonb NOT NULL DEFAULT '{}',
    volunteer_away_since timestamptz,
    created_at           timestamptz NOT NULL,
    connect_by           timestamptz NOT NULL,
    connected_at         timestamptz,
    reconnecting_since   timestamptz,
    ended_at             timestamptz,
    end_reason           text CHECK (end_reason IN ('done', 'left', 'cancelled', 'technical', 'lost', 'never_connected',
                             'busy', 'moved', 'reported', 'suspended', 'ended_by_admin', 'drained')),
    ended_by             text CHECK (ended_by IN ('requester', 'volunteer')),
    version              bigint NOT NULL DEFAULT 1,
    told_version         bigint NOT NULL DEFAULT 0,
    UNIQUE (request_id, epoch),  -- at most one winner per epoch
    CHECK (requester_id <> volunteer_id),
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK ((state = 'ended') = (end_reason IS NOT NULL)),
    CHECK ((state = 'reconnecting') = (reconnecting_since IS NOT NULL) OR state = 'ended')
);
ALTER TABLE requests ADD FOREIGN KEY (call_id) REFERENCES calls DEFERRABLE INITIALLY DEFERRED;
CREATE UNIQUE INDEX calls_one_of_requester ON calls (requester_id) WHERE state <> 'ended';
CREATE UNIQUE INDEX calls_one_of_volunteer ON calls (volunteer_id) WHERE state <> 'ended';
CREATE INDEX calls_connected ON calls (connected_at) WHERE connected_at IS NOT NULL;

-- Who is taken: one row per person, for a live offer or (until infinity) a call. An old row blocks nobody.
CREATE TABLE busy (
    person_id  uuid PRIMARY KEY,
    until      timestamptz NOT NULL,
    request_id uuid NOT NULL,
    what       text NOT NULL CHECK (what IN ('offer', 'call'))
);
CREATE INDEX busy_request ON busy (request_id);

-- One volunteer was asked, once, in one wave of one epoch. Partitioned by request id, whose first 48 bits are its time.
CREATE TABLE offers (
    request_id   uuid NOT NULL REFERENCES requests ON DELETE CASCADE,
    person_id    uuid NOT NULL,
    epoch        integer NOT NULL,
    wave         integer NOT NULL,
    language     text NOT NULL,
    offered_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    outcome      text CHECK (outcome IN ('won', 'lost', 'withdrawn', 'declined', 'expired')),
    reason       text CHECK (reason IN ('answered', 'answered_by_you', 'cancelled', 'expired', 'request_ended', 'unavailable')),
    session_id   uuid,           -- the session that accepted
    ended_at     timestamptz,
    told_at      timestamptz,
    delivered_at timestamptz,
    end_told_at  timestamptz,
    PRIMARY KEY (request_id, epoch, wave, person_id),
    CHECK ((outcome IS NULL) = (ended_at IS NULL)),
    CHECK ((outcome IS NULL) = (reason IS NULL)),
    CHECK ((outcome = 'won') = (session_id IS NOT NULL))
) PARTITION BY RANGE (request_id);
CREATE TABLE offers_other PARTITION OF offers DEFAULT;
CREATE UNIQUE INDEX offers_one_winner ON offers (request_id, epoch) WHERE outcome = 'won';
CREATE UNIQUE INDEX offers_one_open ON offers (request_id, person_id) WHERE outcome IS NULL;
CREATE INDEX offers_open_of ON offers (person_id) WHERE outcome IS NULL;

-- The least UUIDv7 of a moment (RFC 9562, 5.7).
CREATE FUNCTION eyeline_uuid_at(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT
RETURN (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

-- One partition a day (UTC): those of the coming days are made, those older than keep_days dropped. Offers of a day that
-- had no partition yet (the service stood still for long) move from the default one into theirs.
CREATE FUNCTION eyeline_keep_offer_partitions(ahead_days integer, keep_days integer) RETURNS void
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
        -- Requests before offers, as everywhere, or this and a decision could wait for each other.
        LOCK TABLE requests IN EXCLUSIVE MODE;
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
SELECT eyeline_keep_offer_partitions(7, 35);

-- What no code may undo: ended requests and calls stay as they are, epochs and attempts only rise, an offer ends once.
CREATE FUNCTION eyeline_guard_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'ended' AND (NEW.state, NEW.outcome, NEW.ended_at, NEW.call_id, NEW.epoch, NEW.returns, NEW.wave,
                                NEW.asked, NEW.waiting_since, NEW.deadline, NEW.version)
            IS DISTINCT FROM (OLD.state, OLD.outcome, OLD.ended_at, OLD.call_id, OLD.epoch, OLD.returns, OLD.wave,
                              OLD.asked, OLD.waiting_since, OLD.deadline, OLD.version) THEN
        RAISE EXCEPTION 'an ended request does not change' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.epoch < OLD.epoch OR NEW.returns < OLD.returns OR NEW.wave < OLD.wave OR NEW.asked < OLD.asked
            OR NEW.version < OLD.version THEN
        RAISE EXCEPTION 'what is counted of a request only rises' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION eyeline_guard_request();

CREATE FUNCTION eyeline_guard_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'ended' AND (NEW.state, NEW.end_reason, NEW.ended_by, NEW.ended_at, NEW.connected_at, NEW.attempt,
                                NEW.requester_session, NEW.volunteer_session, NEW.version)
            IS DISTINCT FROM (OLD.state, OLD.end_reason, OLD.ended_by, OLD.ended_at, OLD.connected_at, OLD.attempt,
                              OLD.requester_session, OLD.volunteer_session, OLD.version) THEN
        RAISE EXCEPTION 'an ended call does not change' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.attempt < OLD.attempt OR NEW.version < OLD.version THEN
        RAISE EXCEPTION 'attempt and version of a call only rise' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON calls FOR EACH ROW EXECUTE FUNCTION eyeline_guard_call();

-- The two unique indexes know of one side each: nobody asks in one call and answers in another.
CREATE FUNCTION eyeline_guard_sides() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM calls c WHERE c.requester_id = NEW.volunteer_id AND c.state <> 'ended')
            OR EXISTS (SELECT FROM calls c WHERE c.volunteer_id = NEW.requester_id AND c.state <> 'ended') THEN
        RAISE EXCEPTION 'nobody is in two calls' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_sides BEFORE INSERT ON calls FOR EACH ROW EXECUTE FUNCTION eyeline_guard_sides();

CREATE FUNCTION eyeline_guard_offer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.outcome IS NOT NULL AND (NEW.outcome, NEW.reason, NEW.session_id, NEW.ended_at)
            IS DISTINCT FROM (OLD.outcome, OLD.reason, OLD.session_id, OLD.ended_at) THEN
        RAISE EXCEPTION 'an offer ends once' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE OF outcome, reason, session_id, ended_at ON offers
    FOR EACH ROW EXECUTE FUNCTION eyeline_guard_offer();

-- An offer is born only of a waiting request, in its present epoch. A writer that has not locked the request waits here
-- for whoever is moving it on; for one that has, the lock is free.
CREATE FUNCTION eyeline_guard_wave() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM requests WHERE id IN (SELECT request_id FROM born) ORDER BY id FOR SHARE;
    IF EXISTS (SELECT FROM born JOIN requests r ON r.id = born.request_id
               WHERE r.state <> 'waiting' OR r.epoch <> born.epoch) THEN
        RAISE EXCEPTION 'only a waiting request makes offers, in its present epoch' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER guard_wave AFTER INSERT ON offers REFERENCING NEW TABLE AS born
    FOR EACH STATEMENT EXECUTE FUNCTION eyeline_guard_wave();

-- A request that is answered or over, or waits in a later epoch, leaves no offer open.
CREATE FUNCTION eyeline_guard_open_offers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM offers o WHERE o.request_id = NEW.id AND o.outcome IS NULL
               AND (NEW.state <> 'waiting' OR o.epoch <> NEW.epoch)) THEN
        RAISE EXCEPTION 'an offer is left open on a request that is not waiting for it' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER guard_open_offers AFTER UPDATE OF state, epoch ON requests DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION eyeline_guard_open_offers();
