-- Suspending people, and those who come back as somebody else.

-- name: lock
SELECT status, admin_roles FROM users WHERE id = $1 FOR NO KEY UPDATE

-- name: mark
UPDATE users SET status = 'suspended' WHERE id = $1

-- name: record
INSERT INTO suspensions (user_id, by, reason, follows, was) VALUES ($1, $2, $3, $4, $5)

-- name: stand_alone
-- Decided by somebody about one who only followed: no longer lifted with what they followed.
UPDATE suspensions SET follows = NULL, by = $2, reason = $3 WHERE user_id = $1 AND lifted_at IS NULL AND follows IS NOT NULL

-- name: ban_devices
-- Also those of sessions that ended lately: signing out does not help. What is banned already stays banned by whoever it
-- was banned with, so that lifting that lifts it.
INSERT INTO bans (what, hash, suspension_id)
SELECT DISTINCT 'device', used.hash, s.id
FROM suspensions s, LATERAL (SELECT sha256(convert_to(device_id, 'UTF8')) AS hash FROM sessions WHERE user_id = s.user_id
                             AND coalesce(ended_at > eyeline_now() - interval '90 days', true)
                             UNION SELECT sha256(convert_to(device_id, 'UTF8')) FROM devices WHERE user_id = s.user_id) used
WHERE s.user_id = $1 AND s.lifted_at IS NULL
  AND NOT EXISTS (SELECT FROM bans b WHERE b.what = 'device' AND b.hash = used.hash AND s.follows IS NOT NULL)
ON CONFLICT DO NOTHING

-- name: ban_values
INSERT INTO bans (what, hash, suspension_id)
SELECT p.kind, sha256(convert_to(p.value, 'UTF8')), s.id FROM suspensions s JOIN push_values p ON p.user_id = s.user_id
WHERE s.user_id = $1 AND s.lifted_at IS NULL
  AND NOT EXISTS (SELECT FROM bans b WHERE b.what = p.kind AND b.hash = sha256(convert_to(p.value, 'UTF8'))
                  AND s.follows IS NOT NULL)
ON CONFLICT DO NOTHING

-- name: forget_values
DELETE FROM push_values WHERE user_id = $1

-- name: end_sessions
UPDATE sessions SET ended_at = eyeline_now(), ready = false WHERE user_id = $1 AND ended_at IS NULL RETURNING id

-- name: ban_of
-- Who was suspended once and was let in again is let in by that, whatever older bans say.
SELECT b.suspension_id
FROM unnest($2::text[], $3::text[]) AS shown (what, value)
     JOIN bans b ON b.what = shown.what AND b.hash = sha256(convert_to(shown.value, 'UTF8'))
     JOIN suspensions s ON s.id = b.suspension_id
WHERE s.created_at > coalesce((SELECT max(lifted_at) FROM suspensions WHERE user_id = $1), '-infinity') LIMIT 1

-- name: lift
-- With it all that followed from it.
WITH RECURSIVE lifted AS (
    SELECT id, user_id, was FROM suspensions WHERE user_id = $1 AND lifted_at IS NULL
    UNION SELECT s.id, s.user_id, s.was FROM suspensions s JOIN lifted l ON s.follows = l.id WHERE s.lifted_at IS NULL
), over AS (
    UPDATE suspensions SET lifted_at = eyeline_now() WHERE id IN (SELECT id FROM lifted)
), open AS (
    DELETE FROM bans WHERE suspension_id IN (SELECT id FROM lifted)
)
UPDATE users u SET status = l.was FROM lifted l WHERE u.id = l.user_id RETURNING u.id

-- name: roles
SELECT admin_roles FROM users WHERE id = $1
