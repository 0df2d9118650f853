-- The database's clock, moved by a test-only offset (eyeline.clock_offset, an interval). Never now(): a transaction
-- that waited for a lock must see the time after the wait.
CREATE FUNCTION eyeline_now() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN clock_timestamp() + coalesce(nullif(current_setting('eyeline.clock_offset', true), ''), '0')::interval;

CREATE TABLE users (
    id            uuid PRIMARY KEY DEFAULT uuidv7(),
    role          text CHECK (role IN ('requester', 'volunteer')),
    display_name  text CHECK (char_length(display_name) BETWEEN 1 AND 80),
    languages     text[] NOT NULL DEFAULT '{}' CHECK (cardinality(languages) <= 20 AND array_position(languages, NULL) IS NULL),
    time_zone     text NOT NULL DEFAULT 'UTC' CHECK (char_length(time_zone) BETWEEN 1 AND 64),
    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'held', 'suspended')),
    admin_roles   text[] NOT NULL DEFAULT '{}'
                  CHECK (admin_roles <@ ARRAY['observer', 'moderator', 'owner'] AND array_position(admin_roles, NULL) IS NULL),
    created_at    timestamptz NOT NULL DEFAULT eyeline_now(),
    last_asked_at timestamptz,  -- a volunteer's turn; NULL: never asked
    not_before    timestamptz   -- a volunteer is not asked again before this (cooldown, wrap-up); 'infinity' is not used
);
CREATE INDEX users_volunteers ON users (id) WHERE role = 'volunteer';

-- Who a sign-in provider says someone is. The foreign key waits for the commit: the first of two racing sign-ins takes
-- the name and its id, and only then makes the person.
CREATE TABLE identities (
    provider   text NOT NULL CHECK (provider IN ('firebase', 'dev')),
    subject    text NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 256),
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    created_at timestamptz NOT NULL DEFAULT eyeline_now(),
    PRIMARY KEY (provider, subject)
);
CREATE INDEX identities_user ON identities (user_id);

-- One sign-in on one device; it owns one mailbox. `ready` is written on change and counts while `seen_at` is fresh.
-- `owner_epoch`: of the mailbox's last owner that had its socket; what an older one says of losing it is void.
CREATE TABLE sessions (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    device_id  text NOT NULL CHECK (char_length(device_id) BETWEEN 1 AND 128),
    platform   text NOT NULL CHECK (platform IN ('ios', 'android', 'web')),
    created_at timestamptz NOT NULL DEFAULT eyeline_now(),
    seen_at    timestamptz NOT NULL DEFAULT eyeline_now(),
    ready      boolean NOT NULL DEFAULT false,
    owner_epoch bigint NOT NULL DEFAULT 0,
    ended_at   timestamptz,
    CHECK (NOT (ready AND ended_at IS NOT NULL))
);
CREATE INDEX sessions_live ON sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_ready ON sessions (user_id) WHERE ready AND ended_at IS NULL;
CREATE INDEX sessions_ended ON sessions (user_id) WHERE ended_at IS NOT NULL;

-- A chain of refresh tokens per session, by SHA-256; the tokens themselves are never stored. `rotated_at`: first shown.
-- `retired_at`: was replaced before anyone showed it, because its reply was lost.
CREATE TABLE refresh_tokens (
    hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    parent     bytea CHECK (octet_length(parent) = 32),
    created_at timestamptz NOT NULL DEFAULT eyeline_now(),
    rotated_at timestamptz,
    retired_at timestamptz,
    CHECK (rotated_at IS NULL OR retired_at IS NULL)
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
CREATE UNIQUE INDEX refresh_tokens_one_successor ON refresh_tokens (parent) WHERE retired_at IS NULL;

CREATE TABLE devices (
    user_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    device_id text NOT NULL CHECK (char_length(device_id) BETWEEN 1 AND 128),
    platform  text NOT NULL CHECK (platform IN ('ios', 'android', 'web')),
    seen_at   timestamptz NOT NULL DEFAULT eyeline_now(),
    PRIMARY KEY (user_id, device_id)
);

-- Where a device can be woken. A value belongs to whoever put it last.
CREATE TABLE push_values (
    kind      text NOT NULL CHECK (kind IN ('fcm', 'webpush', 'apns_voip')),
    value     text NOT NULL CHECK (octet_length(value) BETWEEN 1 AND 2048),
    keys      jsonb CHECK (keys IS NULL OR (kind = 'webpush' AND jsonb_typeof(keys) = 'object')),
    user_id   uuid NOT NULL,
    device_id text NOT NULL,
    seen_at   timestamptz NOT NULL DEFAULT eyeline_now(),
    PRIMARY KEY (kind, value),
    FOREIGN KEY (user_id, device_id) REFERENCES devices ON DELETE CASCADE
);
CREATE INDEX push_values_device ON push_values (user_id, device_id);

-- When a volunteer may be asked while not ready: weekly windows in their own time zone, and pauses.
CREATE TABLE availability (
    user_id      uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    weekly       jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(weekly) = 'array'),
    paused       boolean NOT NULL DEFAULT false,
    paused_until timestamptz,
    updated_at   timestamptz NOT NULL DEFAULT eyeline_now()
);

-- Two people who are never matched again, whoever of them asked for it.
CREATE TABLE avoided_pairs (
    low        uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    high       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    by         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT eyeline_now(),
    PRIMARY KEY (low, high),
    CHECK (low < high),
    CHECK (by IN (low, high))
);
CREATE INDEX avoided_pairs_high ON avoided_pairs (high);
