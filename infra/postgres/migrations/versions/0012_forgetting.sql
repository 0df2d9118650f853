-- Postgres looks whether anything refers to a session or call that is deleted; without these it reads whole tables for each.
CREATE INDEX requests_session ON requests (session_id);
CREATE INDEX requests_call ON requests (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX calls_requester_session ON calls (requester_session);
CREATE INDEX calls_volunteer_session ON calls (volunteer_session);
