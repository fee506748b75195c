-- What was done to the repository, by whom, in chains that show when somebody
-- changes, deletes or inserts a link.

-- The text that a link's hash covers: it must not depend on settings.
CREATE FUNCTION modelopt_private.audit_hash(link modelopt_private.audit, previous bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array(
        pg_catalog.encode(previous, 'hex'), link.model_id, link.number,
        (extract(epoch FROM link.at) * 1000000)::bigint,
        link.actor, link.session_role, link.operation, link.model_name, link.details)::text, 'UTF8'))
$$;

-- Locks the chain of a model until the transaction ends; returns its head.
CREATE FUNCTION modelopt_private.lock_audit(audited_model bigint) RETURNS modelopt_private.audit_head
    LANGUAGE sql
    AS $$
    INSERT INTO modelopt_private.audit_head AS h (model_id, number, hash) VALUES (audited_model, 0, '')
    ON CONFLICT (model_id) DO UPDATE SET number = h.number
    RETURNING *
$$;

-- Adds a link to the chain of a model.
CREATE FUNCTION modelopt_private.add_audit(audited_model bigint, audited_name text, done text, details jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    head modelopt_private.audit_head := lock_audit(audited_model);
    link modelopt_private.audit;
BEGIN
    link := (audited_model, head.number + 1, clock_timestamp(), caller(), session_user, done, audited_name,
        jsonb_strip_nulls(details), '');
    link.hash := audit_hash(link, head.hash);
    INSERT INTO audit VALUES (link.*);
    UPDATE audit_head SET number = link.number, hash = link.hash WHERE model_id = audited_model;
END
$$;

CREATE FUNCTION modelopt_private.audit_verify(model text DEFAULT NULL,
    OUT model_name text, OUT number bigint, OUT problem text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    link modelopt_private.audit;
    head modelopt_private.audit_head;
    previous bytea := '';
    expected bigint := 1;
    wanted bigint;
BEGIN
    IF model IS NULL THEN
        PERFORM require_owner_of_all();
    ELSE
        wanted := (find_model(model, 'usage')).id;
    END IF;
    FOR head IN SELECT * FROM audit_head h WHERE h.model_id = coalesce(wanted, h.model_id) ORDER BY h.model_id LOOP
        previous := '';
        expected := 1;
        model_name := NULL;
        FOR link IN SELECT * FROM audit a WHERE a.model_id = head.model_id ORDER BY a.number LOOP
            model_name := link.model_name;
            IF link.number <> expected THEN
                number := expected;
                problem := format('%s links before number %s are missing', link.number - expected, link.number);
                RETURN NEXT;
            END IF;
            IF audit_hash(link, previous) <> link.hash THEN
                number := link.number;
                problem := 'the link or the one before it was changed, inserted or deleted';
                RETURN NEXT;
            END IF;
            previous := link.hash;
            expected := link.number + 1;
        END LOOP;
        IF head.number <> expected - 1 OR head.hash <> previous THEN
            number := expected;
            problem := format('the chain ends at number %s and not at %s', expected - 1, head.number);
            RETURN NEXT;
        END IF;
    END LOOP;
    IF wanted IS NULL THEN
        RETURN QUERY SELECT min(a.model_name), min(a.number), 'the chain has no head'
        FROM audit a WHERE NOT EXISTS (SELECT FROM audit_head h WHERE h.model_id = a.model_id)
        GROUP BY a.model_id;
    END IF;
END
$$;
COMMENT ON FUNCTION modelopt_private.audit_verify(text) IS
    'links of the audit that were changed, deleted or inserted, and chains that do not end where they did: no rows when all is well; of one model, or for the owner of the extension of all';

CREATE FUNCTION modelopt_private.audit_digest() RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    PERFORM require_owner_of_all();
    RETURN encode(sha256(convert_to(coalesce(
        (SELECT jsonb_agg(jsonb_build_array(h.model_id, h.number, encode(h.hash, 'hex')) ORDER BY h.model_id)
         FROM audit_head h)::text, ''), 'UTF8')), 'hex');
END
$$;
COMMENT ON FUNCTION modelopt_private.audit_digest() IS
    'one digest of the ends of all chains of the audit: kept outside of the database, it shows later that nobody rewrote them whole; for the owner of the extension';
