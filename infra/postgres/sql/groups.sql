-- Groups of people whom a requester trusts, and invites to groups and desks.

-- name: owns_group
SELECT EXISTS (SELECT FROM groups WHERE id = $1 AND owner_id = $2)

-- name: desk_hours
SELECT weekly, time_zone FROM desks WHERE id = $1 AND retired_at IS NULL
