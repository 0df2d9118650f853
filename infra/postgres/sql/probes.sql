-- What is left of probes (`eyeline probe`), of whose calls nobody wants to know later. A few at a time: a round a minute keeps
-- pace with any probe. By person, so that nobody else's rows are read.

-- name: forget_requests
-- With their offers and calls.
DELETE FROM requests WHERE id IN (
    SELECT r.id FROM identities i JOIN requests r ON r.requester_id = i.user_id
    WHERE i.provider = 'probe' AND r.languages = '{qaa}' AND r.state = 'ended'
      AND r.ended_at < (SELECT eyeline_now() - interval '1 day')
    LIMIT $1 FOR UPDATE OF r SKIP LOCKED)

-- name: forget_sessions
-- Those that nothing speaks of any more.
DELETE FROM sessions WHERE id IN (
    SELECT s.id FROM identities i JOIN sessions s ON s.user_id = i.user_id
    WHERE i.provider = 'probe' AND s.ended_at < (SELECT eyeline_now() - interval '1 day')
      AND NOT EXISTS (SELECT FROM requests r WHERE r.session_id = s.id)
      AND NOT EXISTS (SELECT FROM calls c WHERE c.requester_session = s.id)
      AND NOT EXISTS (SELECT FROM calls c WHERE c.volunteer_session = s.id)
    LIMIT $1 FOR UPDATE OF s SKIP LOCKED)
