-- Desks of organisations and their agents. A desk that was retired is only kept for requests that were asked of it.

-- name: listed
-- All desks, or that one ($2).
SELECT d.id, d.name, d.languages, d.weekly, d.time_zone, m.id AS member_id, eyeline_now() AS now
FROM desks d LEFT JOIN memberships m ON m.desk_id = d.id AND m.user_id = $1
WHERE d.retired_at IS NULL AND ($2::uuid IS NULL OR d.id = $2) ORDER BY lower(d.name), d.id;

-- name: leave
DELETE FROM memberships WHERE id = $1 AND desk_id = $2 AND user_id = $3 RETURNING id;

-- name: make
INSERT INTO desks (name, languages, index_languages, time_zone, weekly) VALUES ($1, $2, $3, $4, $5) RETURNING id;

-- name: change
UPDATE desks SET name = $2, languages = $3, index_languages = $4, time_zone = $5, weekly = $6
WHERE id = $1 AND retired_at IS NULL RETURNING id;

-- name: retire
UPDATE desks SET retired_at = coalesce(retired_at, eyeline_now()) WHERE id = $1 RETURNING id;

-- name: forget_agents
DELETE FROM memberships WHERE desk_id = $1;

-- name: forget_invites
DELETE FROM invites WHERE desk_id = $1;

-- name: details
SELECT d.id, d.name, d.languages, d.weekly, d.time_zone, NULL::uuid AS member_id, eyeline_now() AS now, d.created_at,
       (SELECT count(*) FROM invites i WHERE i.desk_id = d.id
        AND i.accepted_by IS NULL AND i.expires_at > eyeline_now()) AS open_invites
FROM desks d WHERE d.id = $1 AND d.retired_at IS NULL;

-- name: agents
SELECT m.id AS member_id, u.display_name, m.joined_at, u.status = 'active' AS active
FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.desk_id = $1 ORDER BY m.joined_at, m.id;

-- name: remove
WITH removed AS (DELETE FROM memberships WHERE id = $2 AND desk_id = $1)
SELECT EXISTS (SELECT FROM desks WHERE id = $1 AND retired_at IS NULL);
