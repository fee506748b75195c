-- References: how people name versions, and moving what branches, tags and
-- aliases point to.
--
--   fraud            the head of its default branch
--   fraud#17         version 17
--   fraud@champion   an alias; first, last, default and previous are always there
--   fraud:v1.2       a tag, which never moves
--   fraud/exp        the head of a branch
--   ...~2            the parent of the parent of any of these
--   sha256:ab12...   the version, or the content, with a digest that starts so

-- The parts of a reference; raises when it is none.
CREATE FUNCTION modelopt_private.parse_ref(ref text, OUT model text, OUT kind text, OUT name text, OUT back integer)
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    found_parts text[] := regexp_match(ref, '^(?:sha256:([0-9a-f]{6,64})|([^#@:/~^\s]+)(?:([#@:/])([^~^\s]+))?)((?:~[0-9]{0,5})*)$');
BEGIN
    IF ref LIKE 'sha256:%' AND found_parts[1] IS NULL THEN
        RAISE EXCEPTION 'invalid reference "%"', ref
            USING ERRCODE = 'invalid_parameter_value', DETAIL = 'After "sha256:" come 6 to 64 hexadecimal digits in lower case.';
    ELSIF found_parts IS NULL THEN
        RAISE EXCEPTION 'invalid reference "%"', ref
            USING ERRCODE = 'invalid_parameter_value', HINT = CASE WHEN ref LIKE '%^%' THEN
                format('The parent of a version is "%s~1".', regexp_replace(ref, '[~^].*', ''))
                ELSE 'References look like fraud, fraud#17, fraud@champion, fraud:v1.2, fraud/branch, fraud~1 or sha256:ab12cd.' END;
    END IF;
    model := found_parts[2];
    kind := CASE
        WHEN found_parts[1] IS NOT NULL THEN 'digest'
        ELSE coalesce(('{"#": "version", "@": "alias", ":": "tag", "/": "branch"}'::jsonb) ->> found_parts[3], 'head') END;
    name := coalesce(found_parts[1], found_parts[4]);
    back := (SELECT coalesce(sum(CASE step[1] WHEN '' THEN 1 ELSE step[1]::integer END), 0)
             FROM regexp_matches(found_parts[5], '~([0-9]*)', 'g') step);
    IF kind = 'version' AND name !~ '^[0-9]{1,9}$' THEN
        RAISE EXCEPTION 'invalid reference "%"', ref
            USING ERRCODE = 'invalid_parameter_value', DETAIL = 'A number is expected after "#".';
    END IF;
END
$$;

-- A name that a model or reference is given.
CREATE FUNCTION modelopt_private.check_name(name text, what text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
BEGIN
    IF name IS NULL OR name = '' OR length(name) > 200 OR name ~ '[#@:~^\s[:cntrl:]]'
        OR (what <> 'branch' AND name ~ '/') OR name IN ('sha256', '.', '..') THEN
        RAISE EXCEPTION 'invalid name of % %: "%"', CASE what WHEN 'alias' THEN 'an' ELSE 'a' END, what, name
            USING ERRCODE = 'invalid_name',
                DETAIL = 'Names have up to 200 characters, no spaces, and none of # @ : ~ ^ and, but for branches, /.';
    END IF;
    RETURN name;
END
$$;

CREATE FUNCTION modelopt_private.is_system_alias(name text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT name IN ('first', 'last', 'default', 'previous') $$;

-- What a name of a model points to, or null.
CREATE FUNCTION modelopt_private.ref_target(wanted_model bigint, wanted_kind text, wanted_name text) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT version_id FROM modelopt_private.ref
    WHERE model_id = wanted_model AND kind = wanted_kind AND name = wanted_name
$$;

CREATE FUNCTION modelopt_private.head_of(target modelopt_private.named_model) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT modelopt_private.ref_target(target.id, 'branch', target.default_branch) $$;

CREATE FUNCTION modelopt_private.first_parent(child bigint) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT parent_id FROM modelopt_private.version_parent WHERE version_id = child AND number = 1 $$;

CREATE FUNCTION modelopt_private.system_alias_target(target modelopt_private.named_model, alias text) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN CASE alias
        WHEN 'first' THEN (SELECT id FROM version WHERE model_id = target.id ORDER BY version LIMIT 1)
        WHEN 'last' THEN (SELECT id FROM version WHERE model_id = target.id ORDER BY version DESC LIMIT 1)
        WHEN 'default' THEN head_of(target)
        WHEN 'previous' THEN first_parent(head_of(target)) END;
END
$$;

-- The version, or the content, with a digest that starts so, among what the
-- caller may see.
CREATE FUNCTION modelopt_private.find_digest(ref text, prefix text, privilege text) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    AS $$
DECLARE
    low bytea := decode(rpad(prefix, 64, '0'), 'hex');
    high bytea := decode(rpad(prefix, 64, 'f'), 'hex');
    candidates bigint[];
BEGIN
    SELECT array_agg(v.id) INTO candidates
    FROM version v WHERE v.digest BETWEEN low AND high AND may(v.model_id, privilege);
    IF candidates IS NULL THEN
        SELECT array_agg(DISTINCT first_of.id) INTO candidates
        FROM (SELECT DISTINCT ON (t.model_digest) v.id
              FROM tree t JOIN version v ON v.tree_id = t.id
              WHERE t.model_digest BETWEEN low AND high AND may(v.model_id, privilege)
              ORDER BY t.model_digest, v.id) first_of;
    END IF;
    IF cardinality(candidates) > 1 THEN
        RAISE EXCEPTION 'reference "%" is ambiguous', ref
            USING ERRCODE = 'ambiguous_alias',
                DETAIL = format('%s versions have a digest that starts so.', cardinality(candidates)),
                HINT = 'Give more of the digest.';
    END IF;
    RETURN candidates[1];
END
$$;

-- The version of a reference, for a caller with that privilege on its model;
-- to be read, it must have its content.
CREATE FUNCTION modelopt_private.find_version(ref text, privilege text) RETURNS modelopt_private.version
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    AS $$
DECLARE
    parts record;
    target modelopt_private.named_model;
    found_id bigint;
    found_version modelopt_private.version;
BEGIN
    IF ref IS NULL THEN
        RAISE EXCEPTION 'reference must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    parts := parse_ref(ref);
    IF parts.kind = 'digest' THEN
        found_id := find_digest(ref, parts.name, privilege);
    ELSE
        target := find_model(parts.model, privilege);
        found_id := CASE parts.kind
            WHEN 'head' THEN head_of(target)
            WHEN 'version' THEN (SELECT id FROM version WHERE model_id = target.id AND version = parts.name::integer)
            ELSE ref_target(target.id, parts.kind, parts.name) END;
        IF found_id IS NULL AND parts.kind = 'alias' THEN
            found_id := system_alias_target(target, parts.name);
        END IF;
    END IF;
    FOR i IN 1 .. parts.back LOOP
        EXIT WHEN found_id IS NULL;
        found_id := first_parent(found_id);
        IF found_id IS NULL THEN
            RAISE EXCEPTION 'reference "%" names no version', ref
                USING ERRCODE = 'undefined_object',
                    DETAIL = format('Version "%s%s" has no parent.', split_part(ref, '~', 1), '~' || nullif(i - 1, 0));
        END IF;
    END LOOP;
    SELECT * INTO found_version FROM version WHERE id = found_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'reference "%" names no version', ref
            USING ERRCODE = 'undefined_object',
                HINT = CASE WHEN parts.name = 'latest' THEN format('The newest version is "%s@last".', parts.model)
                    ELSE 'modelopt.log() lists the versions of a model, and modelopt.refs its branches, tags and aliases.' END;
    END IF;
    -- Parents may be versions of other models.
    IF found_version.model_id IS DISTINCT FROM target.id THEN
        PERFORM require(found_version.model_id, privilege);
    END IF;
    IF privilege = 'read' THEN
        PERFORM require_content(found_version.id);
    END IF;
    RETURN found_version;
END
$$;

-- How a version is called that will always be it.
CREATE FUNCTION modelopt_private.version_name(wanted bigint) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT m.name || '#' || v.version
    FROM modelopt_private.version v JOIN modelopt_private.named_model m ON m.id = v.model_id
    WHERE v.id = wanted
$$;

CREATE FUNCTION modelopt_private.resolve(ref text) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
BEGIN
    RETURN version_name((find_version(ref, 'usage')).id);
END
$$;
COMMENT ON FUNCTION modelopt_private.resolve(text) IS
    'the version that a reference names now, as name#number, which always names it';

CREATE FUNCTION modelopt_private.resolve_at(model text, name text, at timestamptz) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    target modelopt_private.named_model := find_model(model, 'usage');
    found_move modelopt_private.reflog;
BEGIN
    SELECT r.* INTO found_move
    FROM reflog r
    WHERE r.model_id = target.id AND r.name = resolve_at.name AND r.at <= resolve_at.at
        AND r.kind = coalesce((SELECT min(k.kind) FROM reflog k WHERE k.model_id = target.id AND k.name = resolve_at.name), '')
    ORDER BY r.id DESC LIMIT 1;
    RETURN version_name(found_move.new_version_id);
END
$$;
COMMENT ON FUNCTION modelopt_private.resolve_at(text, text, timestamptz) IS
    'the version that an alias (or a branch or tag of that name) pointed to at a time, as name#number; null when it was not there then';

-- ---------- moving ----------

-- Whether a name matches a pattern in which * and ? stand for anything.
CREATE FUNCTION modelopt_private.matches(name text, pattern text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT name LIKE translate(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*?', '%_')
$$;

-- Raises when the caller may not move a protected reference.
CREATE FUNCTION modelopt_private.check_protection(target modelopt_private.named_model, ref_kind text, ref_name text, reason text)
    RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    rule modelopt_private.protection;
BEGIN
    FOR rule IN
        SELECT * FROM protection p
        WHERE p.model_id = target.id AND p.kind = ref_kind AND matches(ref_name, p.pattern)
    LOOP
        IF NOT EXISTS (SELECT FROM unnest(rule.roles) r WHERE caller_is(r)) THEN
            RAISE EXCEPTION '% "%" of model "%" is protected', ref_kind, ref_name, target.name
                USING ERRCODE = 'insufficient_privilege',
                    DETAIL = format('Only members of these roles may move it: %s.', array_to_string(rule.roles, ', ')),
                    HINT = 'modelopt.unprotect() takes the protection away.';
        END IF;
        IF coalesce(reason, '') = '' THEN
            RAISE EXCEPTION '% "%" of model "%" is protected, and moving it takes a reason', ref_kind, ref_name, target.name
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Say why: reason => ''...''.';
        END IF;
    END LOOP;
END
$$;

-- Every change of what a reference points to happens here; null takes the
-- reference away.  Logged, and audited with what was before.
CREATE FUNCTION modelopt_private.move_ref(target modelopt_private.named_model, ref_kind text, ref_name text, new_id bigint,
    operation text, reason text DEFAULT NULL, message text DEFAULT '') RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    old_id bigint;
BEGIN
    PERFORM check_protection(target, ref_kind, ref_name, reason);
    PERFORM check_follows_row(target, ref_kind, ref_name);
    IF new_id IS NOT NULL THEN
        PERFORM lock_content(new_id);
    END IF;
    SELECT version_id INTO old_id FROM ref
    WHERE model_id = target.id AND kind = ref_kind AND name = ref_name FOR UPDATE;
    IF new_id IS NULL THEN
        DELETE FROM ref WHERE model_id = target.id AND kind = ref_kind AND name = ref_name;
    ELSE
        INSERT INTO ref AS r (model_id, kind, name, version_id, message)
        VALUES (target.id, ref_kind, ref_name, new_id, message)
        ON CONFLICT (model_id, kind, name) DO UPDATE SET version_id = new_id, message = excluded.message;
    END IF;
    INSERT INTO reflog (model_id, kind, name, old_version_id, new_version_id, actor, at, operation, reason)
    VALUES (target.id, ref_kind, ref_name, old_id, new_id, caller(), clock_timestamp(), operation, coalesce(reason, ''));
    PERFORM add_audit(target.id, target.name, operation, jsonb_build_object('kind', ref_kind, 'name', ref_name,
        'before', version_name(old_id), 'after', version_name(new_id), 'reason', reason,
        'digest', (SELECT encode(v.digest, 'hex') FROM version v WHERE v.id = new_id)));
END
$$;

CREATE FUNCTION modelopt_private.report_dropped(what text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% does not exist', what
        USING ERRCODE = 'undefined_object', DETAIL = 'It was dropped just now.';
END
$$;

-- Whoever adds something to a model or a version, of which drop must not know
-- too late, holds one of these locks until the transaction ends.
CREATE FUNCTION modelopt_private.share_model(target modelopt_private.named_model) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM FROM named_model m WHERE m.id = target.id FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM report_dropped('model "' || target.name || '"');
    END IF;
END
$$;

CREATE FUNCTION modelopt_private.share_versions(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    there bigint[] := ARRAY(SELECT v.id FROM version v WHERE v.id = ANY (ids) ORDER BY v.id FOR KEY SHARE);
BEGIN
    IF NOT there @> ids THEN
        PERFORM report_dropped('version');
    END IF;
END
$$;

-- Whoever changes a model's references holds this lock until the transaction
-- ends, so that what was checked stays true.
CREATE FUNCTION modelopt_private.lock_model(name text, privilege text) RETURNS modelopt_private.named_model
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := find_model(name, privilege);
BEGIN
    SELECT * INTO target FROM named_model m WHERE m.id = target.id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM report_dropped('model "' || name || '"');
    END IF;
    IF target.archived_at IS NOT NULL AND privilege = 'write' THEN
        RAISE EXCEPTION 'model "%" is archived', target.name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'modelopt.unarchive() lets it change again.';
    END IF;
    RETURN target;
END
$$;

-- A reference where the model is given already: what starts with # @ : or / is
-- one of its versions.
CREATE FUNCTION modelopt_private.own_ref(target modelopt_private.named_model, ref text) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    IF ref ~ '^[0-9]+$' AND NOT EXISTS (SELECT FROM named_model m WHERE m.name = ref) THEN
        RAISE EXCEPTION 'reference "%" names no version', ref
            USING ERRCODE = 'undefined_object', HINT = format('A version of "%s" by its number is "#%s".', target.name, ref);
    END IF;
    RETURN CASE WHEN ref ~ '^[#@:/]' THEN target.name ELSE '' END || ref;
END
$$;

-- The SQLSTATE of a move that found something else than was expected.
CREATE FUNCTION modelopt_private.check_expected(target modelopt_private.named_model, expected text, found_id bigint, what text) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    expected_id bigint;
BEGIN
    IF expected IS NULL THEN
        RETURN;
    END IF;
    IF expected <> '' THEN
        expected_id := (find_version(own_ref(target, expected), 'usage')).id;
    END IF;
    IF expected_id IS DISTINCT FROM found_id THEN
        RAISE EXCEPTION '% is not what was expected', what
            USING ERRCODE = '40M01',
                DETAIL = format('It is %s, and %s was expected.', coalesce(version_name(found_id), 'nothing'),
                    coalesce(version_name(expected_id), 'nothing')),
                HINT = 'Somebody else was faster: look at what it is now, and try again.';
    END IF;
END
$$;

-- A version of that model; references to other ones do not fit.
CREATE FUNCTION modelopt_private.find_own_version(target modelopt_private.named_model, ref text) RETURNS modelopt_private.version
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    found_version modelopt_private.version := find_version(own_ref(target, ref), 'usage');
BEGIN
    IF found_version.model_id <> target.id THEN
        RAISE EXCEPTION 'reference "%" names a version of another model', ref
            USING ERRCODE = 'invalid_parameter_value', HINT = format('A version of "%s" is wanted.', target.name);
    END IF;
    RETURN found_version;
END
$$;

CREATE FUNCTION modelopt_private.branch(model text, name text, at text DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(model, 'write');
    start modelopt_private.version := find_own_version(target, coalesce(at, model));
BEGIN
    PERFORM check_name(name, 'branch');
    IF ref_target(target.id, 'branch', name) IS NOT NULL THEN
        RAISE EXCEPTION 'branch "%" of model "%" exists already', name, target.name
            USING ERRCODE = 'duplicate_object', HINT = 'modelopt.reset() moves a branch.';
    END IF;
    PERFORM move_ref(target, 'branch', name, start.id, 'branch');
    RETURN target.name || '/' || name;
END
$$;
COMMENT ON FUNCTION modelopt_private.branch(text, text, text) IS
    'starts a branch of a model at a version (the head of the default branch if not given); returns how to refer to it';

CREATE FUNCTION modelopt_private.tag(ref text, name text, message text DEFAULT '') RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    tagged modelopt_private.version := find_version(ref, 'usage');
    target modelopt_private.named_model := lock_model((SELECT m.name FROM named_model m WHERE m.id = tagged.model_id), 'write');
BEGIN
    PERFORM check_name(name, 'tag');
    IF ref_target(target.id, 'tag', name) IS NOT NULL THEN
        RAISE EXCEPTION 'tag "%" of model "%" exists already', name, target.name
            USING ERRCODE = 'duplicate_object', DETAIL = 'Tags never move.', HINT = 'Use another name, or an alias.';
    END IF;
    PERFORM move_ref(target, 'tag', name, tagged.id, 'tag', message => coalesce(message, ''));
    RETURN target.name || ':' || name;
END
$$;
COMMENT ON FUNCTION modelopt_private.tag(text, text, text) IS
    'gives a version a name that never moves; returns how to refer to it';

CREATE FUNCTION modelopt_private.alias(model text, name text, ref text, reason text DEFAULT NULL, expected text DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(model, 'write');
    aliased modelopt_private.version := find_own_version(target, ref);
BEGIN
    PERFORM check_name(name, 'alias');
    IF is_system_alias(name) THEN
        RAISE EXCEPTION 'alias "%" cannot be set', name
            USING ERRCODE = 'reserved_name', DETAIL = 'first, last, default and previous always mean the same.';
    END IF;
    PERFORM check_expected(target, expected, ref_target(target.id, 'alias', name), format('alias "%s" of model "%s"', name, target.name));
    IF ref_target(target.id, 'alias', name) = aliased.id THEN
        PERFORM check_protection(target, 'alias', name, reason);
    ELSE
        PERFORM move_ref(target, 'alias', name, aliased.id, 'alias', reason);
    END IF;
    RETURN version_name(aliased.id);
END
$$;
COMMENT ON FUNCTION modelopt_private.alias(text, text, text, text, text) IS
    'points an alias of a model to one of its versions, for a reason, which is logged; with expected (a reference, or '''' for an alias that is not there) only if it points there now, else SQLSTATE 40M01; nothing happens if it points to that version already. The version may be given as #number. Returns it as name#number';

CREATE FUNCTION modelopt_private.promote(ref text, alias text, reason text DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    promoted modelopt_private.version := find_version(ref, 'usage');
    model_name text := (SELECT m.name FROM named_model m WHERE m.id = promoted.model_id);
BEGIN
    RETURN alias(model_name, alias, version_name(promoted.id), reason);
END
$$;
COMMENT ON FUNCTION modelopt_private.promote(text, text, text) IS
    'points an alias to the version of a reference, such as the one that another alias points to: promote(''fraud@challenger'', ''champion'')';

-- Takes a reference away, whatever its kind.
CREATE FUNCTION modelopt_private.remove_ref(model text, ref_kind text, name text, reason text) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(model, CASE ref_kind WHEN 'tag' THEN 'admin' ELSE 'write' END);
BEGIN
    IF ref_target(target.id, ref_kind, name) IS NULL THEN
        RAISE EXCEPTION '% "%" of model "%" does not exist', ref_kind, name, target.name USING ERRCODE = 'undefined_object';
    END IF;
    IF ref_kind = 'branch' AND name = target.default_branch THEN
        RAISE EXCEPTION 'branch "%" of model "%" cannot be removed', name, target.name
            USING ERRCODE = 'object_in_use', DETAIL = 'It is the default branch.',
                HINT = 'modelopt.set_default_branch() makes another one the default.';
    END IF;
    PERFORM move_ref(target, ref_kind, name, NULL, 'remove ' || ref_kind, reason);
END
$$;

CREATE FUNCTION modelopt_private.unalias(model text, name text, reason text DEFAULT NULL) RETURNS void
    LANGUAGE sql
    AS $$ SELECT modelopt_private.remove_ref(model, 'alias', name, reason) $$;
COMMENT ON FUNCTION modelopt_private.unalias(text, text, text) IS
    'takes an alias away; its history stays';

CREATE FUNCTION modelopt_private.unbranch(model text, name text, reason text DEFAULT NULL) RETURNS void
    LANGUAGE sql
    AS $$ SELECT modelopt_private.remove_ref(model, 'branch', name, reason) $$;
COMMENT ON FUNCTION modelopt_private.unbranch(text, text, text) IS
    'takes a branch away; its versions keep their numbers until gc finds that nothing refers to them';

CREATE FUNCTION modelopt_private.untag(model text, name text, reason text DEFAULT NULL) RETURNS void
    LANGUAGE sql
    AS $$ SELECT modelopt_private.remove_ref(model, 'tag', name, reason) $$;
COMMENT ON FUNCTION modelopt_private.untag(text, text, text) IS
    'takes a tag away, for those with admin on the model; it can then be set anew, which the reflog shows';

CREATE FUNCTION modelopt_private.reset(model text, branch text, ref text, reason text DEFAULT NULL, expected text DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(model, 'write');
    wanted modelopt_private.version := find_own_version(target, ref);
BEGIN
    IF ref_target(target.id, 'branch', branch) IS NULL THEN
        RAISE EXCEPTION 'branch "%" of model "%" does not exist', branch, target.name USING ERRCODE = 'undefined_object';
    END IF;
    PERFORM check_expected(target, expected, ref_target(target.id, 'branch', branch), format('branch "%s" of model "%s"', branch, target.name));
    PERFORM move_ref(target, 'branch', branch, wanted.id, 'reset', reason);
    RETURN version_name(wanted.id);
END
$$;
COMMENT ON FUNCTION modelopt_private.reset(text, text, text, text, text) IS
    'moves a branch to a version, back or forth; what is left behind keeps its number, and the reflog knows where the branch was';

CREATE FUNCTION modelopt_private.set_default_branch(model text, branch text) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(model, 'admin');
BEGIN
    IF ref_target(target.id, 'branch', branch) IS NULL THEN
        RAISE EXCEPTION 'branch "%" of model "%" does not exist', branch, target.name USING ERRCODE = 'undefined_object';
    END IF;
    UPDATE named_model SET default_branch = branch WHERE id = target.id;
    PERFORM add_audit(target.id, target.name, 'set default branch',
        jsonb_build_object('before', target.default_branch, 'after', branch));
END
$$;
COMMENT ON FUNCTION modelopt_private.set_default_branch(text, text) IS
    'makes a branch the one that the model''s name alone refers to';

-- ---------- undoing ----------

-- Where a reference was, as one would undo: moves are done, rollbacks undo the
-- last ones, and rolling forward does them again.
CREATE FUNCTION modelopt_private.ref_history(wanted_model bigint, wanted_kind text, wanted_name text,
    OUT done bigint[], OUT undone bigint[])
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    move modelopt_private.reflog;
BEGIN
    done := '{}';
    undone := '{}';
    FOR move IN
        SELECT * FROM reflog r
        WHERE r.model_id = wanted_model AND r.kind = wanted_kind AND r.name = wanted_name ORDER BY r.id
    LOOP
        IF move.new_version_id IS NULL THEN
            done := '{}';
            undone := '{}';
        ELSIF move.operation = 'rollback' THEN
            WHILE cardinality(done) > 0 AND done[cardinality(done)] <> move.new_version_id LOOP
                undone := undone || done[cardinality(done)];
                done := done[:cardinality(done) - 1];
            END LOOP;
        ELSIF move.operation = 'roll forward' THEN
            WHILE cardinality(undone) > 0 AND done[cardinality(done)] <> move.new_version_id LOOP
                done := done || undone[cardinality(undone)];
                undone := undone[:cardinality(undone) - 1];
            END LOOP;
        ELSIF cardinality(done) = 0 OR done[cardinality(done)] <> move.new_version_id THEN
            done := done || move.new_version_id;
            undone := '{}';
        END IF;
    END LOOP;
END
$$;

-- Rolls an alias, or else a branch, back (steps > 0) or forward.
CREATE FUNCTION modelopt_private.roll(model text, name text, steps integer, reason text) RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(model, 'write');
    ref_kind text := CASE WHEN ref_target(target.id, 'alias', name) IS NULL THEN 'branch' ELSE 'alias' END;
    history record;
    there bigint[];
    wanted bigint;
BEGIN
    IF ref_target(target.id, ref_kind, name) IS NULL THEN
        RAISE EXCEPTION 'model "%" has no alias or branch "%"', target.name, name USING ERRCODE = 'undefined_object';
    END IF;
    history := ref_history(target.id, ref_kind, name);
    IF steps > 0 THEN
        there := history.done;
        wanted := there[cardinality(there) - steps];
    ELSE
        there := history.undone;
        wanted := there[cardinality(there) + 1 + steps];
    END IF;
    IF wanted IS NULL THEN
        RAISE EXCEPTION '% "%" of model "%" has no %', ref_kind, name, target.name, CASE steps
                WHEN 1 THEN 'earlier version to go back to'
                WHEN -1 THEN 'version to go forward to'
                ELSE format('version %s steps %s', abs(steps), CASE WHEN steps > 0 THEN 'back' ELSE 'forward' END) END
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'The view modelopt.reflog shows where it was.';
    END IF;
    PERFORM move_ref(target, ref_kind, name, wanted, CASE WHEN steps > 0 THEN 'rollback' ELSE 'roll forward' END, reason);
    RETURN version_name(wanted);
END
$$;

CREATE FUNCTION modelopt_private.check_steps(steps integer) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    IF steps IS NULL OR steps < 1 THEN
        RAISE EXCEPTION 'steps must be 1 or more' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN steps;
END
$$;

CREATE FUNCTION modelopt_private.rollback(model text, name text, reason text DEFAULT NULL, steps integer DEFAULT 1) RETURNS text
    LANGUAGE sql
    AS $$ SELECT modelopt_private.roll(model, name, modelopt_private.check_steps(steps), reason) $$;
COMMENT ON FUNCTION modelopt_private.rollback(text, text, text, integer) IS
    'points an alias (or else a branch) to where it was before, and again to where it was before that; logged like any move, and undone by roll_forward; returns the version as name#number';

CREATE FUNCTION modelopt_private.roll_forward(model text, name text, reason text DEFAULT NULL, steps integer DEFAULT 1) RETURNS text
    LANGUAGE sql
    AS $$ SELECT modelopt_private.roll(model, name, -modelopt_private.check_steps(steps), reason) $$;
COMMENT ON FUNCTION modelopt_private.roll_forward(text, text, text, integer) IS
    'undoes a rollback';

-- ---------- protection ----------

CREATE FUNCTION modelopt_private.protect(model text, pattern text, roles text[], kind text DEFAULT 'alias') RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(model, 'admin');
    before text[];
BEGIN
    IF kind NOT IN ('alias', 'branch', 'tag') THEN
        RAISE EXCEPTION 'unrecognized kind of reference "%"', kind
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Kinds are alias, branch and tag.';
    END IF;
    PERFORM check_role(r) FROM unnest(roles) r;
    SELECT p.roles INTO before FROM protection p
    WHERE p.model_id = target.id AND p.kind = protect.kind AND p.pattern = protect.pattern;
    INSERT INTO protection (model_id, kind, pattern, roles) VALUES (target.id, protect.kind, protect.pattern, protect.roles)
    ON CONFLICT ON CONSTRAINT protection_pkey DO UPDATE SET roles = excluded.roles;
    PERFORM add_audit(target.id, target.name, 'protect', jsonb_build_object('kind', kind, 'pattern', pattern, 'roles', roles,
        'before', before));
END
$$;
COMMENT ON FUNCTION modelopt_private.protect(text, text, text[], text) IS
    'lets only members of some roles, and only for a reason, move the aliases (or branches or tags, by kind) of a model whose names match a pattern with * and ?';

CREATE FUNCTION modelopt_private.unprotect(model text, pattern text, kind text DEFAULT 'alias') RETURNS boolean
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(model, 'admin');
    before text[];
BEGIN
    DELETE FROM protection p WHERE p.model_id = target.id AND p.kind = unprotect.kind AND p.pattern = unprotect.pattern
    RETURNING p.roles INTO before;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM add_audit(target.id, target.name, 'unprotect', jsonb_build_object('kind', kind, 'pattern', pattern,
        'before', before));
    RETURN true;
END
$$;
COMMENT ON FUNCTION modelopt_private.unprotect(text, text, text) IS
    'takes a protection away; false when there was none';
