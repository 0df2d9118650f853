ALTER TABLE identities DROP CONSTRAINT identities_provider_check, ADD CHECK (provider IN ('firebase', 'dev', 'probe'));
