-- Models that come in parts: from clients that lose connections, and larger
-- than what one value can hold; and from files of the server.

-- Bytes of a tensor's elements; raises for a dtype or a shape that is none.
CREATE FUNCTION modelopt_private.tensor_bytes(dtype text, shape bigint[]) RETURNS bigint
    LANGUAGE C IMMUTABLE STRICT
    AS 'MODULE_PATHNAME', 'modelopt_tensor_bytes';

-- The model of a load, whose elements are read from its parts; complete says
-- that they are all there, and may be looked at.
CREATE FUNCTION modelopt_private.open_load(load_id bigint, metadata jsonb, complete boolean) RETURNS model
    LANGUAGE C STABLE STRICT COST 1000
    AS 'MODULE_PATHNAME', 'modelopt_open_load';

-- A load that the caller may go on with.  It stays as it is for as long as
-- somebody puts parts, and nobody puts any while it is finished or aborted.
CREATE FUNCTION modelopt_private.find_load(wanted bigint) RETURNS modelopt_private.load
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    found_load modelopt_private.load;
BEGIN
    SELECT * INTO found_load FROM load l WHERE l.id = wanted;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'load % does not exist', wanted
            USING ERRCODE = 'undefined_object',
                HINT = 'It may be finished or aborted already; the view modelopt.loads lists those that are not.';
    END IF;
    IF NOT (caller_is(found_load.role) OR owns_extension()) THEN
        RAISE EXCEPTION 'permission denied for load %', wanted
            USING ERRCODE = 'insufficient_privilege', DETAIL = format('Role "%s" began it.', found_load.role);
    END IF;
    RETURN found_load;
END
$$;

CREATE FUNCTION modelopt_private.end_load(id bigint) RETURNS modelopt_private.load
    LANGUAGE plpgsql
    AS $$
DECLARE
    found_load modelopt_private.load := find_load(id);
BEGIN
    PERFORM FROM load l WHERE l.id = found_load.id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'load % does not exist', found_load.id
            USING ERRCODE = 'undefined_object', DETAIL = 'It was finished or aborted just now.';
    END IF;
    RETURN found_load;
END
$$;

-- ---------- beginning ----------

CREATE FUNCTION modelopt_private.add_load_tensors(new_load bigint, tensors jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF jsonb_typeof(tensors) IS DISTINCT FROM 'array' OR EXISTS (
        SELECT FROM jsonb_array_elements(tensors) t
        WHERE jsonb_typeof(t) <> 'object' OR jsonb_typeof(t -> 'name') IS DISTINCT FROM 'string'
            OR jsonb_typeof(t -> 'dtype') IS DISTINCT FROM 'string' OR jsonb_typeof(t -> 'shape') IS DISTINCT FROM 'array'
            OR jsonb_typeof(coalesce(t -> 'tied_to', '""')) <> 'string')
    THEN
        RAISE EXCEPTION 'invalid list of tensors'
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'It is a JSON array with an object for each tensor: [{"name": "w", "dtype": "f32", "shape": [2, 3]}, ...].';
    END IF;
    INSERT INTO load_tensor (load_id, number, name, dtype, shape, bytes)
    SELECT new_load, t.number, t.value ->> 'name', t.value ->> 'dtype', s.shape, tensor_bytes(t.value ->> 'dtype', s.shape)
    FROM jsonb_array_elements(tensors) WITH ORDINALITY t (value, number),
        LATERAL (SELECT ARRAY(SELECT d.value::bigint
            FROM jsonb_array_elements_text(t.value -> 'shape') WITH ORDINALITY d (value, number) ORDER BY d.number) AS shape) s
    ON CONFLICT (load_id, name) DO NOTHING;
    IF (SELECT count(*) FROM load_tensor l WHERE l.load_id = new_load) < jsonb_array_length(tensors) THEN
        RAISE EXCEPTION 'two tensors have the same name' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- A tied tensor has no bytes of its own to be put.
    UPDATE load_tensor l SET bytes = 0,
        tied_to = (SELECT e.number FROM load_tensor e WHERE e.load_id = new_load AND e.name = t.value ->> 'tied_to' AND e.number < t.number)
    FROM jsonb_array_elements(tensors) WITH ORDINALITY t (value, number)
    WHERE l.load_id = new_load AND l.number = t.number AND t.value ? 'tied_to';
    IF EXISTS (SELECT FROM jsonb_array_elements(tensors) WITH ORDINALITY t (value, number) JOIN load_tensor l ON l.load_id = new_load AND l.number = t.number
        WHERE t.value ? 'tied_to' AND l.tied_to IS NULL) THEN
        RAISE EXCEPTION 'a tensor is tied to one that does not come before it' USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

CREATE FUNCTION modelopt_private.begin_load(name text, tensors jsonb, metadata jsonb DEFAULT '{}') RETURNS bigint
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    new_load bigint;
BEGIN
    PERFORM check_commit_target(name);
    INSERT INTO load (target, role, metadata) VALUES (begin_load.name, caller(), check_object(metadata, 'metadata'))
    RETURNING id INTO new_load;
    PERFORM add_load_tensors(new_load, tensors);
    -- What no model can have is told before a byte is sent.
    PERFORM open_load(new_load, metadata, false) IS NULL;
    PERFORM add_audit(0, '', 'begin load', jsonb_build_object('load', new_load, 'target', name));
    RETURN new_load;
END
$$;
COMMENT ON FUNCTION modelopt_private.begin_load(text, jsonb, jsonb) IS
    'begins to load a model in parts, which finish_load() commits to a name (or name/branch): tensors is a JSON array of objects with name, dtype and shape, or with tied_to the name of an earlier tensor whose elements it shares. Returns a number for put_part() and the others, in this session or another one of the same role, also after a lost connection';

-- ---------- parts ----------

CREATE FUNCTION modelopt_private.put_part(id bigint, tensor text, first_byte bigint, data bytea) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    found_load modelopt_private.load := find_load(id);
    target modelopt_private.load_tensor;
    next_byte bigint := first_byte + octet_length(data);
BEGIN
    PERFORM FROM load l WHERE l.id = found_load.id FOR KEY SHARE;
    SELECT * INTO target FROM load_tensor t WHERE t.load_id = found_load.id AND t.name = tensor;
    IF NOT FOUND OR target.tied_to IS NOT NULL THEN
        RAISE EXCEPTION 'load % has no tensor "%" that is put', found_load.id, tensor
            USING ERRCODE = 'undefined_object', HINT = 'modelopt.load_status() lists its tensors.';
    END IF;
    IF first_byte < 0 OR next_byte > target.bytes OR data = '' THEN
        RAISE EXCEPTION 'bytes % to % are not in tensor "%"', first_byte, next_byte - 1, tensor
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It has %s bytes.', target.bytes);
    END IF;
    -- A part that covers others replaces them: it may be a client's that did
    -- not hear of the first one.
    DELETE FROM load_part p WHERE p.load_id = found_load.id AND p.tensor = target.number
        AND p.first_byte >= put_part.first_byte AND p.first_byte < next_byte AND p.first_byte + octet_length(p.data) <= next_byte;
    IF EXISTS (SELECT FROM load_part p WHERE p.load_id = found_load.id AND p.tensor = target.number
            AND p.first_byte > put_part.first_byte AND p.first_byte < next_byte)
        OR put_part.first_byte < (SELECT p.first_byte + octet_length(p.data) FROM load_part p
            WHERE p.load_id = found_load.id AND p.tensor = target.number AND p.first_byte < put_part.first_byte
            ORDER BY p.first_byte DESC LIMIT 1)
    THEN
        RAISE EXCEPTION 'bytes % to % of tensor "%" overlap another part', first_byte, next_byte - 1, tensor
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'modelopt.load_status() says what is missing; parts that a new one covers are replaced.';
    END IF;
    INSERT INTO load_part (load_id, tensor, first_byte, data) VALUES (found_load.id, target.number, put_part.first_byte, put_part.data)
    ON CONFLICT ON CONSTRAINT load_part_pkey DO UPDATE SET data = excluded.data, put_at = excluded.put_at;
END
$$;
COMMENT ON FUNCTION modelopt_private.put_part(bigint, text, bigint, bytea) IS
    'puts some of the bytes of a tensor of a load: its elements as they lie in memory, little endian, from first_byte on. Parts may come in any order, from several sessions at a time; one that is put again replaces the first, and so do larger ones those that they cover';

CREATE FUNCTION modelopt_private.load_status(id bigint)
    RETURNS TABLE (tensor text, dtype text, shape bigint[], bytes bigint, present bigint, missing int8multirange)
    LANGUAGE plpgsql STABLE STRICT
    AS $$
DECLARE
    found_load modelopt_private.load := find_load(id);
BEGIN
    RETURN QUERY
    SELECT t.name, t.dtype, t.shape, t.bytes, p.bytes, int8multirange(int8range(0, t.bytes)) - p.ranges
    FROM load_tensor t,
        LATERAL (SELECT coalesce(sum(octet_length(r.data)), 0)::bigint AS bytes,
                     coalesce(range_agg(int8range(r.first_byte, r.first_byte + octet_length(r.data))), '{}') AS ranges
                 FROM load_part r WHERE r.load_id = t.load_id AND r.tensor = t.number) p
    WHERE t.load_id = found_load.id
    ORDER BY t.number;
END
$$;
COMMENT ON FUNCTION modelopt_private.load_status(bigint) IS
    'the tensors of a load: how many bytes they have, how many were put, and which are missing';

-- ---------- end ----------

CREATE FUNCTION modelopt_private.check_complete(id bigint) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    example record;
BEGIN
    SELECT s.*, count(*) OVER () INTO example
    FROM load_status(id) s WHERE NOT isempty(s.missing) OR s.present <> s.bytes LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'load % is not complete', id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                DETAIL = format('%s of its tensors: "%s", for instance, %s.', example.count, example.tensor, CASE
                    WHEN isempty(example.missing) THEN 'has parts that overlap'
                    ELSE format('lacks bytes %s', example.missing) END),
                HINT = 'modelopt.load_status() says what is missing.';
    END IF;
END
$$;

CREATE FUNCTION modelopt_private.finish_load(id bigint, message text DEFAULT '', expected text DEFAULT NULL,
    params jsonb DEFAULT '{}', metrics jsonb DEFAULT '{}', tags jsonb DEFAULT '{}', relation text DEFAULT NULL,
    parents text[] DEFAULT '{}', allow_empty boolean DEFAULT false) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    ended modelopt_private.load := end_load(id);
    committed integer;
BEGIN
    PERFORM check_commit_target(ended.target);
    PERFORM check_complete(ended.id);
    committed := commit(ended.target, open_load(ended.id, ended.metadata, true), message, NULL, expected, params, metrics, tags,
        relation, parents, allow_empty);
    DELETE FROM load l WHERE l.id = ended.id;
    PERFORM add_audit(0, '', 'finish load', jsonb_build_object('load', ended.id, 'target', ended.target, 'version', committed));
    RETURN committed;
END
$$;
COMMENT ON FUNCTION modelopt_private.finish_load(bigint, text, text, jsonb, jsonb, jsonb, text, text[], boolean) IS
    'commits a model that was loaded in parts, when each byte of each tensor is there; returns the version''s number. The other arguments are those of commit(). The parts are gone then';

CREATE FUNCTION modelopt_private.abort_load(id bigint) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    ended modelopt_private.load := end_load(id);
BEGIN
    DELETE FROM load l WHERE l.id = ended.id;
    PERFORM add_audit(0, '', 'abort load', jsonb_build_object('load', ended.id, 'target', ended.target));
END
$$;
COMMENT ON FUNCTION modelopt_private.abort_load(bigint) IS
    'gives up a load and removes its parts; for the role that began it and the owner of the extension';

-- ---------- files of the server ----------

CREATE FUNCTION modelopt_private.load(name text, path text, message text DEFAULT '', format text DEFAULT 'auto',
    key text DEFAULT NULL, allow_modules boolean DEFAULT false, check_crc boolean DEFAULT true, branch text DEFAULT NULL,
    expected text DEFAULT NULL, params jsonb DEFAULT '{}', metrics jsonb DEFAULT '{}', tags jsonb DEFAULT '{}',
    relation text DEFAULT NULL, parents text[] DEFAULT '{}', allow_empty boolean DEFAULT false) RETURNS integer
    LANGUAGE plpgsql
    AS $$
BEGIN
    -- model_load would ask the repository's owner, as whom this runs.
    IF NOT pg_has_role(caller()::name, 'pg_read_server_files', 'USAGE') THEN
        RAISE EXCEPTION 'permission denied to load a model from a file'
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = 'Only roles with privileges of the "pg_read_server_files" role may read files of the server.',
                HINT = 'Anyone can put the parts of a model with modelopt.begin_load().';
    END IF;
    PERFORM check_commit_target(name, branch);
    RETURN commit(name, @extschema@.model_load(path, format, key, allow_modules, check_crc), message, branch, expected, params,
        metrics, tags, relation, parents, allow_empty);
END
$$;
COMMENT ON FUNCTION modelopt_private.load(text, text, text, text, text, boolean, boolean, text, text, jsonb, jsonb, jsonb, text, text[], boolean) IS
    'commits the model in a file of the server, for members of pg_read_server_files: model_load() and commit() in one, with the arguments of both';
