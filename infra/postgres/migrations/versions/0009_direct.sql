-- Whoever made a group may let its people connect without a relay: they learn each other's network addresses. A call keeps
-- what held when it began.
ALTER TABLE groups ADD COLUMN direct boolean NOT NULL DEFAULT false;
ALTER TABLE calls ADD COLUMN direct boolean NOT NULL DEFAULT false;
