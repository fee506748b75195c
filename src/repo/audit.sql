-- What was done to the repository, by whom, in chains that show when somebody
-- changes, deletes or inserts a link.
--
-- A hash has no key: who may change the tables (a superuser) can write a chain
-- anew from some link on, and its head, so that it fits.  That shows only by
-- what is kept elsewhere: audit_digest() makes it, audit_verify() takes it.

-- The same JSON has the same bytes on every server, in every encoding and
-- whatever is set: what hashes and signatures cover.
CREATE FUNCTION modelopt_private.canonical_json(value jsonb) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_canonical_json';

-- A link's hash covers all of its row and the hash before it.
CREATE FUNCTION modelopt_private.audit_hash(link modelopt_private.audit, previous bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT sha256(modelopt_private.canonical_json(jsonb_build_array(
        encode(previous, 'hex'), link.model_id, link.number, (extract(epoch FROM link.at) * 1000000)::bigint,
        link.actor, link.session_role, link.application, link.client, link.operation, link.model_name, link.details)))
$$;

-- Locks the chain of a model until the transaction ends; returns its head.
CREATE FUNCTION modelopt_private.lock_audit(audited_model bigint) RETURNS modelopt_private.audit_head
    LANGUAGE sql
    AS $$
    INSERT INTO modelopt_private.audit_head AS h (model_id, number, hash) VALUES (audited_model, 0, '')
    ON CONFLICT (model_id) DO UPDATE SET number = h.number
    RETURNING *
$$;

-- Adds a link to the chain of a model; what details have no value for is left out.
CREATE FUNCTION modelopt_private.add_audit(audited_model bigint, audited_name text, done text, details jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    head modelopt_private.audit_head := lock_audit(audited_model);
    link modelopt_private.audit;
BEGIN
    link.model_id := audited_model;
    link.number := head.number + 1;
    link.at := clock_timestamp();
    link.actor := caller();
    link.session_role := session_user;
    link.application := current_setting('application_name');
    link.client := host(inet_client_addr());
    link.operation := done;
    link.model_name := audited_name;
    link.details := (SELECT coalesce(jsonb_object_agg(d.key, d.value), '{}') FROM jsonb_each(details) d WHERE d.value <> 'null');
    link.hash := audit_hash(link, head.hash);
    INSERT INTO audit VALUES (link.*);
    UPDATE audit_head SET number = link.number, hash = link.hash WHERE model_id = audited_model;
END
$$;

-- What is wrong with the chain of a model, as far as the chain itself tells.
CREATE FUNCTION modelopt_private.verify_chain(chain bigint, OUT number bigint, OUT problem text) RETURNS SETOF record
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    link modelopt_private.audit;
    head modelopt_private.audit_head;
    previous bytea := '';
    expected bigint := 1;
BEGIN
    FOR link IN SELECT * FROM audit a WHERE a.model_id = chain ORDER BY a.number LOOP
        number := link.number;
        problem := CASE
            WHEN link.number > expected + 1 THEN format('links %s to %s are missing', expected, link.number - 1)
            WHEN link.number > expected THEN format('link %s is missing', expected)
            WHEN link.number < expected THEN 'the link was inserted'
            WHEN audit_hash(link, previous) <> link.hash
                THEN 'the hash does not fit: the link was changed or inserted, or the one before it was changed' END;
        IF problem IS NOT NULL THEN
            RETURN NEXT;
        END IF;
        previous := link.hash;
        expected := link.number + 1;
    END LOOP;
    SELECT * INTO head FROM audit_head h WHERE h.model_id = chain;
    number := expected;
    problem := CASE
        WHEN head.number IS NULL THEN 'the chain has no head, so links may be missing at its end'
        WHEN head.number <> expected - 1 THEN format('the chain ends at link %s and not at link %s', expected - 1, head.number)
        WHEN head.hash <> previous THEN 'the chain does not end with the hash that its head has' END;
    IF problem IS NOT NULL THEN
        RETURN NEXT;
    END IF;
END
$$;

-- What the repository has of a model that its chain does not know of.
CREATE FUNCTION modelopt_private.verify_state(chain bigint, OUT problem text) RETURNS SETOF text
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN QUERY
    SELECT format('version %s is not what its digest says', v.version)
    FROM version v
    WHERE v.model_id = chain AND v.digest <> version_digest(v, parents_of(v.id))
    ORDER BY v.version;
    RETURN QUERY
    SELECT format('version %s has a digest that the audit does not know', v.version)
    FROM version v
    WHERE v.model_id = chain AND NOT EXISTS (
        SELECT FROM audit a WHERE a.model_id = chain AND a.details ->> 'digest' = encode(v.digest, 'hex'))
    ORDER BY v.version;
    RETURN QUERY
    SELECT format('%s "%s" points to version %s, which is not where it was moved last', r.kind, r.name, v.version)
    FROM ref r JOIN version v ON v.id = r.version_id
        LEFT JOIN (
            SELECT DISTINCT ON (a.details ->> 'kind', a.details ->> 'name')
                a.details ->> 'kind' AS kind, a.details ->> 'name' AS name, a.details ->> 'digest' AS digest
            FROM audit a
            WHERE a.model_id = chain AND a.details ?& '{kind,name}'
            ORDER BY a.details ->> 'kind', a.details ->> 'name', a.number DESC) moved
        ON moved.kind = r.kind AND moved.name = r.name
    WHERE r.model_id = chain AND moved.digest IS DISTINCT FROM encode(v.digest, 'hex')
    ORDER BY r.kind, r.name;
END
$$;

-- What of a digest of the audit is not there any more.
CREATE FUNCTION modelopt_private.verify_digest(digest jsonb, chain bigint, OUT number bigint, OUT problem text) RETURNS SETOF record
    LANGUAGE sql STABLE
    AS $$
    SELECT (kept ->> 'number')::bigint, CASE
        WHEN a.hash IS NULL THEN 'the link, which the digest has, is missing'
        ELSE 'the link is not the one that the digest has' END
    FROM jsonb_array_elements(digest -> 'chains') kept
        LEFT JOIN modelopt_private.audit a ON a.model_id = chain AND a.number = (kept ->> 'number')::bigint
    WHERE (kept ->> 'chain')::bigint = chain AND encode(a.hash, 'hex') IS DISTINCT FROM kept ->> 'hash'
$$;

CREATE FUNCTION modelopt_private.audit_verify(model text DEFAULT NULL, digest jsonb DEFAULT NULL,
    OUT model_name text, OUT number bigint, OUT problem text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
DECLARE
    wanted bigint;
    chain bigint;
BEGIN
    IF model IS NULL THEN
        PERFORM require_owner_of_all();
    ELSE
        wanted := (find_model(model, 'usage')).id;
    END IF;
    IF digest IS NOT NULL AND jsonb_typeof(digest -> 'chains') IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'this is no digest of the audit'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'modelopt.audit_digest() makes one.';
    END IF;
    FOR chain IN
        SELECT h.model_id FROM audit_head h WHERE wanted IS NULL OR h.model_id = wanted
        UNION SELECT a.model_id FROM audit a WHERE wanted IS NULL
        UNION SELECT m.id FROM named_model m WHERE wanted IS NULL OR m.id = wanted
        UNION SELECT (kept ->> 'chain')::bigint FROM jsonb_array_elements(digest -> 'chains') kept
            WHERE wanted IS NULL OR (kept ->> 'chain')::bigint = wanted
        ORDER BY 1
    LOOP
        model_name := coalesce(
            (SELECT m.name FROM named_model m WHERE m.id = chain),
            (SELECT a.model_name FROM audit a WHERE a.model_id = chain ORDER BY a.number DESC LIMIT 1));
        RETURN QUERY SELECT audit_verify.model_name, c.number, c.problem FROM verify_chain(chain) c;
        RETURN QUERY SELECT audit_verify.model_name, NULL::bigint, s.problem FROM verify_state(chain) s;
        RETURN QUERY SELECT audit_verify.model_name, d.number, d.problem FROM verify_digest(digest, chain) d;
    END LOOP;
END
$$;
COMMENT ON FUNCTION modelopt_private.audit_verify(text, jsonb) IS
    'what was done to the audit: links that were changed, deleted or inserted, chains that do not end where they did, versions and references that are not as it knows them; no rows when all is well. Of one model, or for the owner of the extension of all. With a digest that audit_digest() made earlier and that was kept elsewhere also chains that were rewritten whole';

CREATE FUNCTION modelopt_private.audit_digest() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
BEGIN
    PERFORM require_owner_of_all();
    RETURN (
        SELECT jsonb_build_object('at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'chains', coalesce(jsonb_agg(jsonb_build_object('chain', h.model_id, 'number', h.number, 'hash', encode(h.hash, 'hex'))
                ORDER BY h.model_id), '[]'))
        FROM audit_head h);
END
$$;
COMMENT ON FUNCTION modelopt_private.audit_digest() IS
    'where all chains of the audit end now. Kept outside of the database and given to audit_verify() later, it shows what was rewritten since, even by a superuser who made all hashes fit; for the owner of the extension';
