-- Groups of people whom a requester trusts, and invites to groups and desks. Whoever counts locks first what is counted
-- for: the person for their groups, the group or desk for its members and invites.

-- name: owns_group
SELECT EXISTS (SELECT FROM groups WHERE id = $1 AND owner_id = $2);

-- name: desk_hours
SELECT weekly, time_zone FROM desks WHERE id = $1 AND retired_at IS NULL;

-- name: owned
SELECT g.id, g.name, g.direct, (SELECT count(*) FROM invites i WHERE i.group_id = g.id
                      AND i.accepted_by IS NULL AND i.expires_at > eyeline_now()) AS open_invites
FROM groups g WHERE g.owner_id = $1 ORDER BY g.created_at, g.id;

-- name: members_of_owned
SELECT m.group_id, m.id AS member_id, u.display_name, m.joined_at, u.status = 'active' AS active
FROM groups g JOIN memberships m ON m.group_id = g.id JOIN users u ON u.id = m.user_id
WHERE g.owner_id = $1 ORDER BY m.joined_at, m.id;

-- name: joined
-- All groups of a person, or that one. Direct for this member: who joined before it was so stays relayed.
SELECT g.id, g.name, g.direct AND coalesce(m.joined_at >= g.direct_since, false) AS direct,
       o.display_name AS owner_name, m.id AS member_id, m.joined_at
FROM memberships m JOIN groups g ON g.id = m.group_id JOIN users o ON o.id = g.owner_id
WHERE m.user_id = $1 AND ($2::uuid IS NULL OR g.id = $2) ORDER BY m.joined_at, m.id;

-- name: lock_person
SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE;

-- name: make
INSERT INTO groups (owner_id, name, direct, direct_since)
SELECT $1, $2, $4, CASE WHEN $4 THEN eyeline_now() END WHERE (SELECT count(*) FROM groups WHERE owner_id = $1) < $3
RETURNING id;

-- name: change
-- Under the group's lock, as joining is: so `direct_since` is later than anybody's who joined before.
UPDATE groups
SET name = $2, direct = coalesce($3, direct),
    direct_since = CASE WHEN coalesce($3, direct) THEN coalesce(CASE WHEN direct THEN direct_since END, eyeline_now()) END
WHERE id = $1;

-- name: delete
DELETE FROM groups WHERE id = $1 AND owner_id = $2 RETURNING id;

-- name: lock_own_group
SELECT id FROM groups WHERE id = $1 AND owner_id = $2 FOR NO KEY UPDATE;

-- name: lock_desk
SELECT id FROM desks WHERE id = $1 AND retired_at IS NULL FOR NO KEY UPDATE;

-- name: lock_others_group
-- Unless the two are never matched.
SELECT g.id FROM groups g
WHERE g.id = $1 AND g.owner_id <> $2
  AND NOT EXISTS (SELECT FROM avoided_pairs p
                  WHERE p.low = least(g.owner_id, $2::uuid) AND p.high = greatest(g.owner_id, $2::uuid))
FOR NO KEY UPDATE OF g;

-- name: forget_expired_invites
-- Anybody's, used or not: nothing can be done with them any more. A few with each new one keep pace.
DELETE FROM invites WHERE hash IN (SELECT hash FROM invites WHERE expires_at <= (SELECT eyeline_now())
                                   LIMIT 100 FOR UPDATE SKIP LOCKED);

-- name: invite
INSERT INTO invites (hash, group_id, desk_id, expires_at)
SELECT $1, $2, $3, eyeline_now() + $4::interval
WHERE (SELECT count(*) FROM invites WHERE (group_id = $2 OR desk_id = $3)
       AND accepted_by IS NULL AND expires_at > eyeline_now()) < $5
RETURNING expires_at;

-- name: withdraw_invites
DELETE FROM invites WHERE (group_id = $1 OR desk_id = $2) AND accepted_by IS NULL;

-- name: invite_of
SELECT group_id, desk_id FROM invites WHERE hash = $1;

-- name: lock_invite
SELECT accepted_by, expires_at <= eyeline_now() AS expired FROM invites WHERE hash = $1 FOR NO KEY UPDATE;

-- name: is_member
SELECT EXISTS (SELECT FROM memberships WHERE user_id = $3 AND (group_id = $1 OR desk_id = $2));

-- name: join
INSERT INTO memberships (group_id, desk_id, user_id)
SELECT $1, $2, $3 WHERE (SELECT count(*) FROM memberships WHERE group_id = $1 OR desk_id = $2) < $4
RETURNING id;

-- name: accepted
UPDATE invites SET accepted_by = $2 WHERE hash = $1;

-- name: remove
-- By the owner, whether or not there is such a member (still), or by the member.
WITH removed AS (
    DELETE FROM memberships m USING groups g
    WHERE m.id = $2 AND m.group_id = $1 AND g.id = $1 AND $3 IN (g.owner_id, m.user_id)
    RETURNING m.id
)
SELECT EXISTS (SELECT FROM removed) OR EXISTS (SELECT FROM groups WHERE id = $1 AND owner_id = $3);
