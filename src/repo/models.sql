-- Models as wholes.

CREATE FUNCTION modelopt_private.register(name text, description text DEFAULT '', tags jsonb DEFAULT '{}') RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    created modelopt_private.named_model := create_model(name, description);
BEGIN
    UPDATE named_model m SET tags = check_object(register.tags, 'tags') WHERE m.id = created.id;
    PERFORM add_audit(created.id, created.name, 'describe', jsonb_build_object('description', description, 'tags', tags));
END
$$;
COMMENT ON FUNCTION modelopt_private.register(text, text, jsonb) IS
    'creates a model without versions, which the caller owns; commit does so too for a name that is new';

CREATE FUNCTION modelopt_private.describe(name text, description text DEFAULT NULL, tags jsonb DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(name, 'write');
BEGIN
    UPDATE named_model m
    SET description = coalesce(describe.description, m.description),
        tags = coalesce(check_object(coalesce(describe.tags, m.tags), 'tags'), m.tags)
    WHERE m.id = target.id;
    PERFORM add_audit(target.id, target.name, 'describe', jsonb_build_object('description', description, 'tags', tags,
        'before', jsonb_build_object('description', target.description, 'tags', target.tags)));
END
$$;
COMMENT ON FUNCTION modelopt_private.describe(text, text, jsonb) IS
    'sets what modelopt.models says of a model: its description, its tags, or both';

CREATE FUNCTION modelopt_private.rename(name text, new_name text) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(name, 'admin');
BEGIN
    PERFORM check_name(new_name, 'model');
    IF EXISTS (SELECT FROM named_model m WHERE m.name = new_name) THEN
        RAISE EXCEPTION 'model "%" exists already', new_name USING ERRCODE = 'duplicate_object';
    END IF;
    UPDATE named_model m SET name = new_name WHERE m.id = target.id;
    PERFORM add_audit(target.id, new_name, 'rename', jsonb_build_object('before', target.name, 'after', new_name));
END
$$;
COMMENT ON FUNCTION modelopt_private.rename(text, text) IS
    'gives a model another name; its versions, references and privileges go with it';

CREATE FUNCTION modelopt_private.set_owner(name text, role text) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(name, 'admin');
BEGIN
    IF role = 'public' OR NOT caller_is(check_role(role)) THEN
        RAISE EXCEPTION 'must be member of role "%"', role USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE named_model m SET owner = role WHERE m.id = target.id;
    PERFORM add_audit(target.id, target.name, 'set owner', jsonb_build_object('before', target.owner, 'after', role));
END
$$;
COMMENT ON FUNCTION modelopt_private.set_owner(text, text) IS
    'gives a model to a role that the caller is a member of';

CREATE FUNCTION modelopt_private.copy(ref text, name text, message text DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    source modelopt_private.version := find_version(ref, 'read');
    created modelopt_private.named_model := create_model(name);
    added modelopt_private.version;
BEGIN
    added.tree_id := source.tree_id;
    added.message := coalesce(message, 'copy of ' || version_name(source.id));
    added.full_recipe := source.full_recipe;
    added.recipe := '[]';
    added.params := source.params;
    added.tags := source.tags;
    added.new_bytes := 0;
    added.stored_bytes := 0;
    added := add_version(created, created.default_branch, added, ARRAY[source.id], ARRAY['copy'], 'copy');
    RETURN added.version;
END
$$;
COMMENT ON FUNCTION modelopt_private.copy(text, text, text) IS
    'makes a version the first one of a new model, which shares all of its bytes';

CREATE FUNCTION modelopt_private.archive(name text, reason text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(name, 'admin');
BEGIN
    UPDATE named_model m SET archived_at = coalesce(m.archived_at, clock_timestamp()) WHERE m.id = target.id;
    PERFORM add_audit(target.id, target.name, 'archive', jsonb_build_object('reason', reason));
END
$$;
COMMENT ON FUNCTION modelopt_private.archive(text, text) IS
    'makes a model refuse changes until unarchive; its versions can be read as before';

CREATE FUNCTION modelopt_private.unarchive(name text) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(name, 'admin');
BEGIN
    UPDATE named_model m SET archived_at = NULL WHERE m.id = target.id;
    PERFORM add_audit(target.id, target.name, 'unarchive', '{}');
END
$$;
COMMENT ON FUNCTION modelopt_private.unarchive(text) IS 'lets an archived model change again';

-- Why a model cannot be dropped, or null.
CREATE FUNCTION modelopt_private.reason_to_keep(target modelopt_private.named_model) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    found_text text;
BEGIN
    SELECT format('Versions of other models come from it: %s.', string_agg(DISTINCT version_name(p.version_id), ', '))
    INTO found_text
    FROM version_parent p JOIN version parent ON parent.id = p.parent_id JOIN version child ON child.id = p.version_id
    WHERE parent.model_id = target.id AND child.model_id <> target.id
    HAVING count(*) > 0;
    IF found_text IS NULL THEN
        SELECT format('Protected references point to its versions: %s.', string_agg(r.kind || ' ' || r.name, ', '))
        INTO found_text
        FROM ref r JOIN protection p ON p.model_id = r.model_id AND p.kind = r.kind AND matches(r.name, p.pattern)
        WHERE r.model_id = target.id
        HAVING count(*) > 0;
    END IF;
    RETURN found_text;
END
$$;

CREATE FUNCTION modelopt_private.drop(name text, reason text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := find_model(name, 'admin');
    why text;
BEGIN
    SELECT * INTO target FROM named_model m WHERE m.id = target.id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM report_dropped('model "' || name || '"');
    END IF;
    -- Whoever makes something of its versions is waited for, and seen.
    PERFORM FROM version v WHERE v.model_id = target.id ORDER BY v.id FOR UPDATE;
    why := reason_to_keep(target);
    IF why IS NOT NULL THEN
        RAISE EXCEPTION 'model "%" cannot be dropped', target.name
            USING ERRCODE = 'dependent_objects_still_exist', DETAIL = why,
                HINT = 'modelopt.archive() makes a model refuse changes and keeps it.';
    END IF;
    PERFORM add_audit(target.id, target.name, 'drop', jsonb_build_object('reason', reason,
        'versions', (SELECT count(*) FROM version v WHERE v.model_id = target.id), 'refs',
        (SELECT jsonb_object_agg(r.kind || ' ' || r.name, version_name(r.version_id)) FROM ref r WHERE r.model_id = target.id)));
    DELETE FROM ref r WHERE r.model_id = target.id;
    DELETE FROM reflog l WHERE l.model_id = target.id;
    DELETE FROM version_parent p USING version v WHERE v.id = p.version_id AND v.model_id = target.id;
    DELETE FROM version v WHERE v.model_id = target.id;
    DELETE FROM named_model m WHERE m.id = target.id;
END
$$;
COMMENT ON FUNCTION modelopt_private.drop(text, text) IS
    'drops a model with its versions, unless versions of other models come from it or protected references point to it; the audit keeps what was done with it, and gc frees the space';

CREATE FUNCTION modelopt_private.show(ref text) RETURNS jsonb
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    v modelopt_private.version := find_version(ref, 'usage');
BEGIN
    RETURN (
        SELECT jsonb_build_object('version', version_name(v.id), 'digest', encode(v.digest, 'hex'),
            'model_digest', encode(t.model_digest, 'hex'), 'message', v.message, 'author', v.author,
            'committed_at', v.committed_at, 'relation', v.relation,
            'parents', (SELECT coalesce(jsonb_agg(jsonb_build_object('version', version_name(p.parent_id), 'relation', p.relation)
                ORDER BY p.number), '[]') FROM version_parent p WHERE p.version_id = v.id),
            'refs', (SELECT coalesce(jsonb_agg(r.kind || ' ' || r.name ORDER BY r.kind, r.name), '[]') FROM ref r WHERE r.version_id = v.id),
            'params', v.params, 'tags', v.tags, 'recipe', v.full_recipe::jsonb,
            'metrics', (SELECT coalesce(jsonb_object_agg(m.name, m.value ORDER BY m.id), '{}') FROM metric m WHERE m.version_id = v.id),
            'tensors', t.tensors, 'parameters', t.parameters, 'zeros', t.zeros,
            'bytes', jsonb_build_object('raw', t.raw_bytes, 'new', v.new_bytes, 'stored', v.stored_bytes),
            'session', jsonb_build_object('role', v.session_role, 'application', v.application, 'client', v.client,
                'transaction', v.transaction_id::text))
        FROM tree t WHERE t.id = v.tree_id);
END
$$;
COMMENT ON FUNCTION modelopt_private.show(text) IS
    'all that is known of a version, as one JSON object; reads no weights';
