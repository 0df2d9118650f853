-- People, their sign-in sessions, refresh tokens, devices and hours.

-- name: identity_of
-- The first of two racing sign-ins names the person; the second waits for its commit and gets the same name.
INSERT INTO identities (provider, subject, user_id) VALUES ($1, $2, uuidv7())
ON CONFLICT (provider, subject) DO UPDATE SET subject = excluded.subject
RETURNING user_id;

-- name: make_person
INSERT INTO users (id, display_name) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING;

-- name: open_session
INSERT INTO sessions (user_id, device_id, platform) VALUES ($1, $2, $3) RETURNING id;

-- name: session_and_person
SELECT s.id AS session_id, s.device_id, s.platform, s.created_at, s.seen_at,
       u.id, u.role, u.display_name, u.languages, u.time_zone, u.status, u.admin_roles
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.id = $1 AND s.ended_at IS NULL;

-- name: sessions_of
SELECT id AS session_id, device_id, platform, created_at, seen_at
FROM sessions WHERE user_id = $1 AND ended_at IS NULL ORDER BY created_at DESC, id DESC;

-- name: end_session
UPDATE sessions SET ended_at = eyeline_now(), ready = false
WHERE id = $1 AND user_id = $2 AND ended_at IS NULL
RETURNING user_id, device_id;

-- name: forget_push_values
-- Of a device on which its person is signed in no more.
DELETE FROM push_values p
WHERE p.user_id = $1 AND p.device_id = $2
  AND NOT EXISTS (SELECT FROM sessions s
                  WHERE s.user_id = p.user_id AND s.device_id = p.device_id AND s.ended_at IS NULL);

-- name: keep_refresh_token
INSERT INTO refresh_tokens (hash, session_id, parent) VALUES ($1, $2, $3);

-- name: session_of_refresh_token
SELECT session_id FROM refresh_tokens WHERE hash = $1;

-- name: lock_session
SELECT user_id, device_id FROM sessions WHERE id = $1 AND ended_at IS NULL FOR NO KEY UPDATE;

-- name: refresh_token
-- Read after the lock: where the shown token stands, and whether its successor was shown already.
SELECT t.rotated_at, t.retired_at, eyeline_now() AS now, s.hash AS successor, s.rotated_at AS successor_rotated_at
FROM refresh_tokens t LEFT JOIN refresh_tokens s ON s.parent = t.hash AND s.retired_at IS NULL
WHERE t.hash = $1;

-- name: rotated
UPDATE refresh_tokens SET rotated_at = eyeline_now() WHERE hash = $1 AND rotated_at IS NULL;

-- name: retire
UPDATE refresh_tokens SET retired_at = eyeline_now() WHERE hash = $1;

-- name: forget_old_refresh_tokens
-- Long after their use nobody can tell an old token from nonsense, and both are refused.
DELETE FROM refresh_tokens
WHERE session_id = $1 AND coalesce(rotated_at, retired_at) < eyeline_now() - interval '30 days';

-- name: change_person
-- A role is set once: asking for another one changes nothing and gives no row.
UPDATE users SET
    role         = coalesce($2, role),
    display_name = CASE WHEN $3 THEN $4 ELSE display_name END,
    languages    = coalesce($5, languages),
    time_zone    = coalesce($6, time_zone),
    index_languages = coalesce($7, index_languages)
WHERE id = $1 AND ($2::text IS NULL OR role IS NULL OR role = $2)
RETURNING id, role, display_name, languages, time_zone, status, admin_roles;

-- name: availability_of
SELECT weekly, paused, paused_until FROM availability WHERE user_id = $1;

-- name: put_availability
INSERT INTO availability (user_id, weekly, paused, paused_until) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id) DO UPDATE SET
    weekly = excluded.weekly, paused = excluded.paused, paused_until = excluded.paused_until, updated_at = eyeline_now();

-- name: put_device
INSERT INTO devices (user_id, device_id, platform) VALUES ($1, $2, $3)
ON CONFLICT (user_id, device_id) DO UPDATE SET platform = excluded.platform, seen_at = eyeline_now();

-- name: drop_push_values
-- But those that are put again: they keep their id, by which rings are withdrawn.
DELETE FROM push_values p
WHERE p.user_id = $1 AND p.device_id = $2
  AND NOT EXISTS (SELECT FROM unnest($3::text[], $4::text[]) AS kept (kind, value)
                  WHERE kept.kind = p.kind AND kept.value = p.value);

-- name: put_push_value
INSERT INTO push_values (kind, value, keys, user_id, device_id) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (kind, value) DO UPDATE SET
    keys = excluded.keys, user_id = excluded.user_id, device_id = excluded.device_id, seen_at = eyeline_now(),
    quarantined_until = NULL;

-- name: delete_device
DELETE FROM devices WHERE user_id = $1 AND device_id = $2 RETURNING user_id;

-- name: user_by_dev_name
SELECT user_id FROM identities WHERE provider = 'dev' AND subject = $1;

-- name: grant
UPDATE users SET admin_roles = CASE WHEN $2 = ANY (admin_roles) THEN admin_roles ELSE admin_roles || $2::text END
WHERE id = $1 RETURNING id;
