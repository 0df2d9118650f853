-- Suspending people, and those who come back as somebody else.

-- name: mark
UPDATE users SET status = 'suspended' WHERE id = $1 RETURNING id

-- name: record
INSERT INTO suspensions (user_id, by, reason, follows) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id) WHERE lifted_at IS NULL DO NOTHING

-- name: ban_devices
-- Also those of sessions that ended lately: signing out does not help.
INSERT INTO bans (what, hash, suspension_id)
SELECT DISTINCT 'device', sha256(convert_to(used.device_id, 'UTF8')), s.id
FROM suspensions s, LATERAL (SELECT device_id FROM sessions WHERE user_id = s.user_id
                             AND coalesce(ended_at > eyeline_now() - interval '90 days', true)
                             UNION SELECT device_id FROM devices WHERE user_id = s.user_id) used
WHERE s.user_id = $1 AND s.lifted_at IS NULL
ON CONFLICT DO NOTHING

-- name: ban_values
INSERT INTO bans (what, hash, suspension_id)
SELECT p.kind, sha256(convert_to(p.value, 'UTF8')), s.id FROM suspensions s JOIN push_values p ON p.user_id = s.user_id
WHERE s.user_id = $1 AND s.lifted_at IS NULL
ON CONFLICT DO NOTHING

-- name: forget_values
DELETE FROM push_values WHERE user_id = $1

-- name: end_sessions
UPDATE sessions SET ended_at = eyeline_now(), ready = false WHERE user_id = $1 AND ended_at IS NULL RETURNING id

-- name: ban_of
SELECT b.suspension_id FROM unnest($1::text[], $2::text[]) AS shown (what, value)
JOIN bans b ON b.what = shown.what AND b.hash = sha256(convert_to(shown.value, 'UTF8')) LIMIT 1

-- name: lift
UPDATE suspensions SET lifted_at = eyeline_now() WHERE user_id = $1 AND lifted_at IS NULL RETURNING id

-- name: forget_bans
DELETE FROM bans WHERE suspension_id = $1

-- name: unmark
UPDATE users SET status = 'active' WHERE id = $1 AND status = 'suspended' RETURNING id

-- name: roles
SELECT admin_roles FROM users WHERE id = $1
