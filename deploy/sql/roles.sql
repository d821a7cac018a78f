-- Rights in the database, by process. Run as the owner of the tables (a superuser, or one with CREATEROLE), after every migrate; it may be
-- run again at any time. The tests run it on the real server and try every role, table and verb (backoffice/tests/test_grants.py).
--
--   brokerage_web        pages and API: everything it needs to, but what the engine or the audit trail says it can only read
--                        (the FIX gateway signs in as it too: it does for clients what the API does)
--   brokerage_worker     runners and background jobs: as web; moves waiting acts into the audit chain
--   brokerage_projector  writes what the engine says; cannot read who people are, nor any credential
--   brokerage_market     the market data process: candles, prints and its own place in the feed
--
-- The login of each process is a member of one of them and nothing else, for example:
--   CREATE ROLE web_1 LOGIN PASSWORD '…' IN ROLE brokerage_web;
-- The owner of the tables runs migrate, rebuild_projection and this file, and no process.

DO $$
DECLARE
    role_name text;
    name text;
    -- Written by the projector alone: the engine's journal is their truth.
    projection text[] := ARRAY[
        'accounts_ledgerentry', 'accounts_balance', 'trading_order', 'trading_orderevent', 'trading_execution', 'risk_position',
        'trading_projectionstate', 'trading_projectedlisting'
    ];
    -- Written by the market data process; history is loaded by the owner.
    market text[] := ARRAY['marketdata_candle', 'marketdata_tradeprint', 'marketdata_marketdatastate'];
    -- Added to by the worker alone and changed by nobody; triggers refuse it once more (compliance/migrations/0001_audit.py).
    audit text[] := ARRAY['audit_entry', 'audit_node', 'audit_checkpoint'];
    -- What the projector and the market data process look names up in.
    reference text[] := ARRAY[
        'marketdata_asset', 'marketdata_instrument', 'marketdata_venue', 'accounts_tradingaccount', 'django_migrations'
    ];
BEGIN
    FOREACH role_name IN ARRAY ARRAY['brokerage_web', 'brokerage_worker', 'brokerage_projector', 'brokerage_market'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', role_name);
        END IF;
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', role_name);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM %I', role_name);
        EXECUTE format('REVOKE CREATE ON SCHEMA public FROM %I', role_name);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role_name);
    END LOOP;
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;

    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('GRANT SELECT ON public.%I TO brokerage_web, brokerage_worker', name);
        IF name = ANY (projection) THEN
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO brokerage_projector', name);
            EXECUTE format('GRANT SELECT ON public.%I TO brokerage_market', name);
        ELSIF name = ANY (market) THEN
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO brokerage_market', name);
            EXECUTE format('GRANT SELECT ON public.%I TO brokerage_projector', name);
        ELSIF name = 'platform_auditpending' THEN
            EXECUTE format('GRANT INSERT ON public.%I TO brokerage_web, brokerage_worker', name);
            EXECUTE format('GRANT DELETE ON public.%I TO brokerage_worker', name);
        ELSIF name = ANY (audit) THEN
            EXECUTE format('GRANT INSERT ON public.%I TO brokerage_worker', name);
        ELSIF name <> 'django_migrations' THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON public.%I TO brokerage_web, brokerage_worker', name);
        END IF;
        IF name = ANY (reference) THEN
            EXECUTE format('GRANT SELECT ON public.%I TO brokerage_projector, brokerage_market', name);
        END IF;
    END LOOP;
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO brokerage_web, brokerage_worker, brokerage_projector, brokerage_market;
END
$$;
