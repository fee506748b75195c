-- Who may do what.
--
-- usage: see the model, its history and statistics, and predict; read: get its
-- weights; write: commit and move references; admin: everything, and grant it.
-- read, write and admin include usage, admin includes all; the owner of a
-- model and the owner of the extension have admin.
--
-- Roles are known by name, so that a dump keeps what they may where their
-- numbers are others.  A role that is dropped leaves its grants behind, for
-- whoever gets its name next: revoke() takes them first.

-- Parallel workers do not know who called: what asks is PARALLEL RESTRICTED, and
-- where a gate itself runs in a worker, all of its body does; see gate.c.
CREATE FUNCTION modelopt_private.caller() RETURNS text
    LANGUAGE C STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_caller';

-- Whose privileges count: the caller's, or those of the owner of the table for
-- which act_for() says that the verb acts.
CREATE FUNCTION modelopt_private.authority() RETURNS text
    LANGUAGE C STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_authority';

-- Until the verb ends, privileges are those of that table's owner.
CREATE FUNCTION modelopt_private.act_for(relation regclass) RETURNS void
    LANGUAGE C STRICT
    AS 'MODULE_PATHNAME', 'modelopt_act_for';

-- The table for whose owner the verb acts, or null.
CREATE FUNCTION modelopt_private.acting_table() RETURNS regclass
    LANGUAGE C STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_acting_table';

-- Whether the authority may act as that role; a role that is gone has no
-- members.
CREATE FUNCTION modelopt_private.caller_is(role text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT role = '' OR EXISTS (
        SELECT FROM pg_catalog.pg_roles r
        WHERE r.rolname = role AND pg_catalog.pg_has_role(modelopt_private.authority()::name, r.oid, 'USAGE'))
$$;

CREATE FUNCTION modelopt_private.owns_extension() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT pg_catalog.pg_has_role(modelopt_private.authority()::name, extowner, 'USAGE')
    FROM pg_catalog.pg_extension WHERE extname = 'modelopt'
$$;
COMMENT ON FUNCTION modelopt_private.owns_extension() IS
    'whether the current role may act as the owner of the extension, who administers the repository';

CREATE FUNCTION modelopt_private.may(wanted_model bigint, wanted text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT EXISTS (
            SELECT FROM modelopt_private.access a
            WHERE a.model_id = wanted_model AND modelopt_private.caller_is(a.role)
                AND (a.privilege IN (wanted, 'admin') OR wanted = 'usage'))
        OR EXISTS (
            SELECT FROM modelopt_private.named_model m
            WHERE m.id = wanted_model AND modelopt_private.caller_is(m.owner))
        OR modelopt_private.owns_extension()
$$;

CREATE FUNCTION modelopt_private.require(wanted_model bigint, wanted text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    AS $$
BEGIN
    IF NOT may(wanted_model, wanted) THEN
        RAISE EXCEPTION 'permission denied for model "%"', (SELECT name FROM named_model WHERE id = wanted_model)
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('Role "%s" lacks the privilege %s.', authority(), wanted),
                HINT = format('Its owner may grant it with modelopt.grant_%s().', wanted);
    END IF;
END
$$;

-- The model of that name, for a caller that has a privilege on it.
CREATE FUNCTION modelopt_private.find_model(wanted_name text, wanted text) RETURNS modelopt_private.named_model
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    AS $$
DECLARE
    found_model modelopt_private.named_model;
BEGIN
    SELECT * INTO found_model FROM named_model WHERE name = wanted_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'model "%" does not exist', wanted_name
            USING ERRCODE = 'undefined_object',
                HINT = CASE WHEN wanted_name ~ '[#@]' THEN 'A model is meant here, without a version. ' ELSE '' END
                    || 'The view modelopt.models lists those that there are.';
    END IF;
    PERFORM require(found_model.id, wanted);
    RETURN found_model;
END
$$;

-- ---------- granting ----------

CREATE FUNCTION modelopt_private.check_privilege(privilege text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
BEGIN
    IF privilege NOT IN ('usage', 'read', 'write', 'admin') THEN
        RAISE EXCEPTION 'unrecognized privilege "%"', privilege
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Privileges are usage, read, write and admin.';
    END IF;
END
$$;

CREATE FUNCTION modelopt_private.has_privilege(model text, privilege text) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    wanted bigint := (SELECT id FROM named_model WHERE name = has_privilege.model);
BEGIN
    PERFORM check_privilege(privilege);
    RETURN wanted IS NOT NULL AND may(wanted, privilege);
END
$$;
COMMENT ON FUNCTION modelopt_private.has_privilege(text, text) IS
    'whether the current role has a privilege on a model: usage (see it, its history and statistics, and predict), read (its weights), write (commit, move references) or admin';

CREATE FUNCTION modelopt_private.check_role(role text) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    IF role = 'public' THEN
        RETURN '';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
        RAISE EXCEPTION 'role "%" does not exist', role USING ERRCODE = 'undefined_object';
    END IF;
    RETURN role;
END
$$;

CREATE FUNCTION modelopt_private.add_privilege(name text, role text, privilege text) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := find_model(name, 'admin');
BEGIN
    PERFORM share_model(target);
    INSERT INTO access (model_id, role, privilege, granted_by)
    VALUES (target.id, check_role(role), privilege, caller())
    ON CONFLICT DO NOTHING;
    PERFORM add_audit(target.id, target.name, 'grant', jsonb_build_object('role', role, 'privilege', privilege));
END
$$;

CREATE FUNCTION modelopt_private.grant_usage(model text, role text) RETURNS void
    LANGUAGE sql STRICT
    AS $$ SELECT modelopt_private.add_privilege(model, role, 'usage') $$;
COMMENT ON FUNCTION modelopt_private.grant_usage(text, text) IS
    'lets a role (or ''public'') see a model, its history and statistics, and predict with it; not its weights';

CREATE FUNCTION modelopt_private.grant_read(model text, role text) RETURNS void
    LANGUAGE sql STRICT
    AS $$ SELECT modelopt_private.add_privilege(model, role, 'read') $$;
COMMENT ON FUNCTION modelopt_private.grant_read(text, text) IS
    'lets a role (or ''public'') get a model''s weights and compare its versions';

CREATE FUNCTION modelopt_private.grant_write(model text, role text) RETURNS void
    LANGUAGE sql STRICT
    AS $$ SELECT modelopt_private.add_privilege(model, role, 'write') $$;
COMMENT ON FUNCTION modelopt_private.grant_write(text, text) IS
    'lets a role (or ''public'') commit versions and move references that are not protected; not get the weights';

CREATE FUNCTION modelopt_private.grant_admin(model text, role text) RETURNS void
    LANGUAGE sql STRICT
    AS $$ SELECT modelopt_private.add_privilege(model, role, 'admin') $$;
COMMENT ON FUNCTION modelopt_private.grant_admin(text, text) IS
    'lets a role do everything with a model: read, write, protect, rename, drop, grant';

CREATE FUNCTION modelopt_private.grant_create(role text) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
BEGIN
    PERFORM require_owner_of_all();
    INSERT INTO access (role, privilege, granted_by) VALUES (check_role(role), 'create', caller())
    ON CONFLICT DO NOTHING;
    PERFORM add_audit(0, '', 'grant', jsonb_build_object('role', role, 'privilege', 'create'));
END
$$;
COMMENT ON FUNCTION modelopt_private.grant_create(text) IS
    'lets a role (or ''public'') create models, which it then owns; for the owner of the extension';

CREATE FUNCTION modelopt_private.revoke(model text, role text, privilege text DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model;
    revoked text[];
BEGIN
    IF model IS NULL THEN
        PERFORM require_owner_of_all();
    ELSE
        target := find_model(model, 'admin');
        PERFORM check_privilege(privilege);
    END IF;
    WITH gone AS (
        DELETE FROM access a
        WHERE a.model_id IS NOT DISTINCT FROM target.id AND a.role = CASE revoke.role WHEN 'public' THEN '' ELSE revoke.role END
            AND a.privilege = coalesce(revoke.privilege, a.privilege)
        RETURNING a.privilege)
    SELECT coalesce(array_agg(g.privilege ORDER BY g.privilege), '{}') INTO revoked FROM gone g;
    PERFORM add_audit(coalesce(target.id, 0), coalesce(target.name, ''), 'revoke',
        jsonb_build_object('role', role, 'privilege', privilege, 'revoked', revoked));
    RETURN cardinality(revoked);
END
$$;
COMMENT ON FUNCTION modelopt_private.revoke(text, text, text) IS
    'takes a privilege on a model, or all of them, from a role; with null as the model, the right to create models; returns how many grants are gone';

CREATE FUNCTION modelopt_private.require_owner_of_all() RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    IF NOT owns_extension() THEN
        RAISE EXCEPTION 'must be owner of extension modelopt' USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

CREATE FUNCTION modelopt_private.may_create() RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT modelopt_private.owns_extension() OR EXISTS (
        SELECT FROM modelopt_private.access a WHERE a.privilege = 'create' AND modelopt_private.caller_is(a.role))
$$;
