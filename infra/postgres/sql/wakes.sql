-- Which devices are to be told what. Whoever claims or reports holds the request's row lock.

-- name: lock
SELECT eyeline_now() AS now FROM requests WHERE id = $1 FOR NO KEY UPDATE

-- name: claim_rings
UPDATE offers SET ring_claimed_until = eyeline_now() + $2::interval, ring_tries = ring_tries + 1
WHERE request_id = $1 AND outcome IS NULL AND ring_due_at <= eyeline_now() AND expires_at > eyeline_now()
  AND coalesce(ring_claimed_until <= eyeline_now(), true)
RETURNING person_id, epoch, wave, language, tier, urgent, expires_at, ring_tries AS tries, push_again, rung,
          ring_tries > 1 AND ring_failed_at IS NULL AS reached

-- name: replaced_by_a_later_ring
-- Rings of one request replace each other on a phone, so the last one's end is the end of all.
UPDATE offers o SET quieted_at = eyeline_now()
WHERE o.request_id = $1 AND o.outcome IS NOT NULL AND o.rung <> '{}' AND o.quieted_at IS NULL
  AND EXISTS (SELECT FROM offers l WHERE l.request_id = o.request_id AND l.person_id = o.person_id
              AND (l.epoch, l.wave) > (o.epoch, o.wave) AND l.outcome IS NOT NULL AND l.rung <> '{}')

-- name: claim_quiets
-- Not while a ring may still be on its way: the quiet line has to come after it.
UPDATE offers o SET quiet_due_at = eyeline_now() + $2::interval, quiet_tries = quiet_tries + 1
WHERE request_id = $1 AND outcome IS NOT NULL AND rung <> '{}' AND quieted_at IS NULL
  AND coalesce(quiet_due_at <= eyeline_now(), true) AND coalesce(ring_claimed_until <= eyeline_now(), true)
  AND NOT EXISTS (SELECT FROM offers l WHERE l.request_id = o.request_id AND l.person_id = o.person_id
                  AND (l.epoch, l.wave) > (o.epoch, o.wave) AND (l.outcome IS NULL OR l.rung <> '{}'))
RETURNING person_id, epoch, wave, language, outcome, reason, session_id, ended_at, quiet_tries AS tries, rung,
          CASE WHEN quiet_tries > 1 THEN push_again END AS push_again

-- name: claim_callback
-- To the requester: somebody is free.
UPDATE callbacks c SET push_claimed_until = eyeline_now() + $2::interval, push_tries = push_tries + 1
FROM requests r
WHERE c.request_id = $1 AND r.id = c.request_id AND c.push_due_at <= eyeline_now() AND c.until > eyeline_now()
  AND coalesce(c.push_claimed_until <= eyeline_now(), true)
RETURNING r.requester_id AS person_id, r.epoch, r.languages[1] AS language, c.until, c.push_tries AS tries, c.push_again

-- name: report_callback
UPDATE callbacks SET push_due_at = $3, push_again = $4, push_claimed_until = NULL WHERE request_id = $1 AND push_tries = $2

-- name: targets_of_people
SELECT p.id, p.kind, p.value, p.keys, p.user_id, p.device_id, d.platform, u.languages,
       d.seen_at > eyeline_now() - interval '30 days' AS in_use
FROM push_values p JOIN devices d USING (user_id, device_id) JOIN users u ON u.id = p.user_id
WHERE p.user_id = ANY ($1::uuid[]) AND p.kind IN ('fcm', 'webpush')
  AND coalesce(p.quarantined_until <= eyeline_now(), true) AND coalesce(p.not_before <= eyeline_now(), true)

-- name: targets_rung
-- Where a ring was sent, if it is still the same person's; not the device that has the call.
SELECT p.id, p.kind, p.value, p.keys, p.user_id, p.device_id, d.platform, u.languages
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS r (id, person_id, session_id)
     JOIN push_values p ON p.id = r.id AND p.user_id = r.person_id
     JOIN devices d USING (user_id, device_id) JOIN users u ON u.id = p.user_id
WHERE NOT EXISTS (SELECT FROM sessions s WHERE s.id = r.session_id AND s.device_id = p.device_id)

-- name: may_have_rung
UPDATE offers o SET rung = ARRAY (SELECT unnest(o.rung) UNION SELECT unnest(t.ids))
FROM (SELECT person_id, epoch, wave, array_agg(id) AS ids
      FROM unnest($2::uuid[], $3::integer[], $4::integer[], $5::uuid[]) AS v (person_id, epoch, wave, id)
      GROUP BY 1, 2, 3) t
WHERE o.request_id = $1 AND o.person_id = t.person_id AND o.epoch = t.epoch AND o.wave = t.wave

-- name: report_rings
UPDATE offers o SET
    rung               = ARRAY (SELECT unnest(o.rung) EXCEPT SELECT unnest(r.not_taken)),
    push_again         = r.again,
    ring_due_at        = r.again_at,
    ring_claimed_until = NULL,
    ring_failed_at     = CASE WHEN NOT r.reached THEN coalesce(o.ring_failed_at, eyeline_now()) END
FROM jsonb_to_recordset($2::jsonb) AS r (person_id uuid, epoch integer, wave integer, tries integer, not_taken uuid[],
                                         again uuid[], again_at timestamptz, reached boolean)
WHERE o.request_id = $1 AND o.person_id = r.person_id AND o.epoch = r.epoch AND o.wave = r.wave AND o.ring_tries = r.tries
RETURNING o.ring_failed_at IS NOT NULL AND o.outcome IS NULL AND o.delivered_at IS NULL AS unknown_to_them

-- name: report_quiets
UPDATE offers o SET
    push_again   = r.again,
    quiet_due_at = r.again_at,
    quieted_at   = CASE WHEN r.again_at IS NULL THEN eyeline_now() END
FROM jsonb_to_recordset($2::jsonb) AS r (person_id uuid, epoch integer, wave integer, tries integer, again uuid[],
                                         again_at timestamptz)
WHERE o.request_id = $1 AND o.person_id = r.person_id AND o.epoch = r.epoch AND o.wave = r.wave AND o.quiet_tries = r.tries

-- name: forget_value
-- Unless it was put again since the push was sent.
DELETE FROM push_values WHERE id = $1 AND seen_at <= $2 RETURNING user_id

-- name: quarantine_value
UPDATE push_values SET quarantined_until = eyeline_now() + interval '1 day' WHERE id = $1 AND seen_at <= $2 RETURNING user_id

-- name: rest_value
UPDATE push_values SET not_before = eyeline_now() + $2::interval WHERE id = $1
