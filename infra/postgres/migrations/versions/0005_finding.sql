-- A volunteer's turn and peace. `ignored`: offers in a row that they let run out; each makes the cooldown longer.
-- `week_began`, `week_rings`: how often their closed app was rung in the week that began then; at the cap they are left in
-- peace until `week_full_until`. `hot_until`: they answered a moment too late, and are taken to be there for a while.
-- `called_back_until`: somebody was told that they are free. `connected_at`: their first call that connected.
ALTER TABLE users
    ADD COLUMN ignored           smallint NOT NULL DEFAULT 0 CHECK (ignored >= 0),
    ADD COLUMN week_began        timestamptz,
    ADD COLUMN week_rings        integer NOT NULL DEFAULT 0 CHECK (week_rings >= 0),
    ADD COLUMN week_full_until   timestamptz,
    ADD COLUMN hot_until         timestamptz,
    ADD COLUMN called_back_until timestamptz,
    ADD COLUMN connected_at      timestamptz;
UPDATE users u SET connected_at = c.first
FROM (SELECT volunteer_id, min(connected_at) AS first FROM calls WHERE connected_at IS NOT NULL GROUP BY 1) c
WHERE u.id = c.volunteer_id;

-- People a requester trusts: asked first, before strangers are, or instead of them.
CREATE TABLE groups (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    owner_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name       text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 80),
    created_at timestamptz NOT NULL DEFAULT eyeline_now()
);
CREATE INDEX groups_owner ON groups (owner_id);

-- Specialised help of an organisation: its own agents, hours (in its zone), languages and queue.
CREATE TABLE desks (
    id              uuid PRIMARY KEY DEFAULT uuidv7(),
    name            text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 80),
    languages       text[] NOT NULL CHECK (cardinality(languages) BETWEEN 1 AND 20),
    index_languages text[] NOT NULL CHECK (cardinality(index_languages) BETWEEN 1 AND 20),
    time_zone       text NOT NULL CHECK (char_length(time_zone) BETWEEN 1 AND 64),
    weekly          jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(weekly) = 'array'),
    created_at      timestamptz NOT NULL DEFAULT eyeline_now(),
    retired_at      timestamptz  -- no longer offered to anybody
);

-- Who belongs to a group, or answers for a desk. `id` is what others may name the membership by: it names nobody.
CREATE TABLE memberships (
    id        uuid PRIMARY KEY DEFAULT uuidv7(),
    group_id  uuid REFERENCES groups ON DELETE CASCADE,
    desk_id   uuid REFERENCES desks ON DELETE CASCADE,
    user_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    joined_at timestamptz NOT NULL DEFAULT eyeline_now(),
    CHECK (num_nonnulls(group_id, desk_id) = 1),
    UNIQUE (group_id, user_id),
    UNIQUE (desk_id, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id);

-- A code, kept as its SHA-256, that makes whoever shows it first a member.
CREATE TABLE invites (
    hash        bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    group_id    uuid REFERENCES groups ON DELETE CASCADE,
    desk_id     uuid REFERENCES desks ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT eyeline_now(),
    expires_at  timestamptz NOT NULL,
    accepted_by uuid REFERENCES users ON DELETE CASCADE,
    CHECK (num_nonnulls(group_id, desk_id) = 1)
);
CREATE INDEX invites_group ON invites (group_id);
CREATE INDEX invites_desk ON invites (desk_id);
CREATE INDEX invites_expiring ON invites (expires_at);

-- Whom a request may be offered to. With a group or a desk: to anybody else from `public_at` on; NULL: never. Without
-- foreign keys: what is asked of a group that is gone must not be asked of strangers. `first_person`: the one who helped a
-- moment ago, asked before all others until `first_until`.
ALTER TABLE requests
    ADD COLUMN group_id     uuid,
    ADD COLUMN desk_id      uuid,
    ADD COLUMN public_at    timestamptz,
    ADD COLUMN first_person uuid,
    ADD COLUMN first_until  timestamptz,
    ADD CHECK (num_nonnulls(group_id, desk_id) <= 1);
CREATE INDEX requests_of_desk ON requests (desk_id, created_at, id) WHERE state = 'waiting' AND desk_id IS NOT NULL;

-- `local_hour`: on the volunteer's wall when they were asked, by which chances are learned. `standby_until`: they said yes
-- a moment too late, and are asked first should the call of whoever was faster not come about.
ALTER TABLE offers
    ADD COLUMN local_hour    smallint CHECK (local_hour BETWEEN 0 AND 23),
    ADD COLUMN standby_until timestamptz;

CREATE INDEX users_kept_hot ON users (hot_until) WHERE hot_until IS NOT NULL;

-- A requester whom nobody answered wants to be told when somebody is free: once. `until`: how long that somebody is
-- likely to be.
CREATE TABLE callbacks (
    request_id uuid PRIMARY KEY REFERENCES requests ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT eyeline_now(),
    expires_at timestamptz NOT NULL,
    fired_at   timestamptz,
    until      timestamptz,
    told_at    timestamptz,
    push_due_at        timestamptz,
    push_claimed_until timestamptz,
    push_tries         smallint NOT NULL DEFAULT 0,
    push_again         uuid[],
    CHECK ((fired_at IS NULL) = (until IS NULL))
);
CREATE INDEX callbacks_wanted ON callbacks (created_at) WHERE fired_at IS NULL;

-- Said to be ready, or just now said yes: hot. Otherwise as before.
CREATE OR REPLACE FUNCTION eyeline_tier(person uuid, fresh interval) RETURNS text
LANGUAGE sql VOLATILE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN there.ready OR there.open AND (SELECT hot_until > eyeline_now() FROM users WHERE id = person) THEN 'hot'
        WHEN there.open OR woken.seen_at > eyeline_now() - interval '30 days' THEN 'cold'
        WHEN woken.seen_at IS NOT NULL THEN 'idle'
    END
    FROM (SELECT bool_or(s.ready) AS ready, bool_or(s.owner_epoch > 0) AS open FROM sessions s
          WHERE s.user_id = person AND s.ended_at IS NULL AND s.seen_at > eyeline_now() - fresh) AS there,
         (SELECT max(d.seen_at) AS seen_at FROM push_values p JOIN devices d USING (user_id, device_id)
          WHERE p.user_id = person AND p.kind IN ('fcm', 'webpush')
            AND coalesce(p.quarantined_until <= eyeline_now(), true)) AS woken;
END;

-- How often people answer, by what is known of them before they are asked: answers in so much exposure, both growing old.
CREATE TABLE answer_tallies (
    tier       text NOT NULL CHECK (tier IN ('hot', 'cold', 'idle')),
    language   text NOT NULL,
    hour       smallint NOT NULL CHECK (hour BETWEEN 0 AND 23),
    answers    double precision NOT NULL CHECK (answers >= 0),
    exposure   double precision NOT NULL CHECK (exposure >= 0),
    counted_at timestamptz NOT NULL,
    PRIMARY KEY (tier, language, hour)
);
-- Requests that ended up to then are counted in.
CREATE TABLE answer_tallies_done (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    upto timestamptz NOT NULL
);
INSERT INTO answer_tallies_done (upto) VALUES (eyeline_now());
