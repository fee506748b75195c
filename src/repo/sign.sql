-- Signatures: that the holder of a key vouches for a version.  They are made
-- outside of the database, where the private key is, and kept here.

-- The raw form of an Ed25519 public key that is given raw, as PEM or as DER.
CREATE FUNCTION modelopt_private.ed25519_key(public_key bytea) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_ed25519_key';

CREATE FUNCTION modelopt_private.ed25519_verify(public_key bytea, message bytea, signature bytea) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'modelopt_ed25519_verify';

-- ---------- keys ----------

CREATE FUNCTION modelopt_private.register_key(name text, public_key bytea) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    raw bytea;
    other text;
BEGIN
    PERFORM require_owner_of_all();
    PERFORM check_name(name, 'key');
    raw := ed25519_key(public_key);
    SELECT k.name INTO other FROM signing_key k WHERE k.name = register_key.name OR k.public_key = raw;
    IF FOUND THEN
        RAISE EXCEPTION 'key "%" is registered already', other
            USING ERRCODE = 'duplicate_object', DETAIL = 'A key has one name, and a name, for good, one key.';
    END IF;
    INSERT INTO signing_key (name, public_key, registered_by) VALUES (register_key.name, raw, caller());
    PERFORM add_audit(0, '', 'register key', jsonb_build_object('key', name, 'public_key', encode(raw, 'hex')));
END
$$;
COMMENT ON FUNCTION modelopt_private.register_key(text, bytea) IS
    'registers an Ed25519 public key by a name, so that its holder may sign versions: 32 bytes, or a SubjectPublicKeyInfo as PEM or DER, as "openssl pkey -pubout" writes it; for the owner of the extension. Private keys stay outside';

CREATE FUNCTION modelopt_private.find_key(wanted_name text) RETURNS modelopt_private.signing_key
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    found_key modelopt_private.signing_key;
BEGIN
    SELECT * INTO found_key FROM signing_key k WHERE k.name = wanted_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'key "%" does not exist', wanted_name
            USING ERRCODE = 'undefined_object', HINT = 'The view modelopt.signing_keys lists those that there are.';
    END IF;
    RETURN found_key;
END
$$;

CREATE FUNCTION modelopt_private.revoke_key(name text, reason text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    revoked modelopt_private.signing_key;
BEGIN
    PERFORM require_owner_of_all();
    revoked := find_key(name);
    IF revoked.revoked_at IS NOT NULL THEN
        RAISE EXCEPTION 'key "%" was revoked already', name USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    UPDATE signing_key k SET revoked_at = clock_timestamp() WHERE k.name = revoked.name;
    PERFORM add_audit(0, '', 'revoke key', jsonb_build_object('key', name, 'reason', reason));
END
$$;
COMMENT ON FUNCTION modelopt_private.revoke_key(text, text) IS
    'ends the trust in a key, for good: none of its signatures is valid any more, whenever it was made; for the owner of the extension';

-- ---------- what is signed ----------

CREATE FUNCTION modelopt_private.parents_of(child bigint) RETURNS bigint[]
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT ARRAY(SELECT parent_id FROM modelopt_private.version_parent WHERE version_id = child ORDER BY number) $$;

-- The statement on a version, from its rows as they are now: digests that are
-- kept beside what they cover are computed anew, so that a row that was
-- changed shows.
CREATE FUNCTION modelopt_private.statement(v modelopt_private.version) RETURNS bytea
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    content @extschema@.model := open_tree(v.tree_id, v.full_recipe);
    subjects jsonb;
BEGIN
    SELECT jsonb_agg(jsonb_build_object(
            'name', t.name,
            'digest', jsonb_build_object('sha256', encode(o.content, 'hex')),
            'annotations', jsonb_build_object('dtype', t.dtype, 'shape', t.shape)) ORDER BY t.number)
    INTO subjects
    FROM @extschema@.tensors(content) WITH ORDINALITY t (name, dtype, shape, parameters, bytes, encoding, tied_to, number)
        JOIN tree_entry e ON e.tree_id = v.tree_id AND e.name = t.name
        JOIN object o ON o.id = e.object_id;
    RETURN canonical_json(jsonb_build_object(
        '_type', 'https://in-toto.io/Statement/v1',
        'subject', coalesce(subjects, '[]'),
        'predicateType', 'urn:modelopt:version:1',
        'predicate', jsonb_build_object(
            'version', v.version,
            'digest', jsonb_build_object('sha256', encode(version_digest(v, parents_of(v.id)), 'hex')),
            'model_digest', jsonb_build_object('sha256', @extschema@.model_digest(content)))));
END
$$;

CREATE FUNCTION modelopt_private.manifest(ref text) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
BEGIN
    RETURN convert_from(statement(find_version(ref, 'read')), 'UTF8');
END
$$;
COMMENT ON FUNCTION modelopt_private.manifest(text) IS
    'what is signed of a version: a statement in in-toto''s form, as one line of JSON whose bytes, in UTF-8 and without a line end, are always the same. Its subjects are the tensors (sha256 of the elements, as little-endian bytes); the digest of its predicate is the version''s, over number, parents, author, time, message, parameters and recipe; the model_digest is the content''s, metadata and graph included. It does not name the model, which may be renamed';

-- ---------- signing ----------

CREATE FUNCTION modelopt_private.sign(ref text, key_name text, signature bytea) RETURNS text
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    signed modelopt_private.version := find_version(ref, 'write');
    key modelopt_private.signing_key := find_key(key_name);
    name_of_signed text := version_name(signed.id);
BEGIN
    IF key.revoked_at IS NOT NULL THEN
        RAISE EXCEPTION 'key "%" was revoked', key.name USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF octet_length(signature) <> 64 THEN
        RAISE EXCEPTION 'signature has % bytes', octet_length(signature)
            USING ERRCODE = 'invalid_parameter_value', DETAIL = 'Ed25519 signatures have 64.';
    END IF;
    IF NOT ed25519_verify(key.public_key, statement(signed), signature) THEN
        RAISE EXCEPTION 'signature is not one of % by key "%"', name_of_signed, key.name
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Sign the bytes of modelopt.manifest() in UTF-8, without a line end: "openssl pkeyutl -sign -rawin".';
    END IF;
    PERFORM share_versions(ARRAY[signed.id]);
    INSERT INTO signature (version_id, key_name, signature, added_by)
    VALUES (signed.id, key.name, sign.signature, caller())
    ON CONFLICT ON CONSTRAINT signature_pkey DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is signed by key "%" already', name_of_signed, key.name USING ERRCODE = 'duplicate_object';
    END IF;
    PERFORM add_audit(signed.model_id, (SELECT m.name FROM named_model m WHERE m.id = signed.model_id), 'sign',
        jsonb_build_object('version', name_of_signed, 'digest', encode(signed.digest, 'hex'), 'key', key.name,
            'signature', encode(sign.signature, 'hex')));
    RETURN name_of_signed;
END
$$;
COMMENT ON FUNCTION modelopt_private.sign(text, text, bytea) IS
    'keeps an Ed25519 signature (64 bytes) of a version''s manifest, made outside of the database with the private key that belongs to a registered key; refused if it does not fit; returns the version as name#number';

CREATE FUNCTION modelopt_private.verify_signature(ref text, key_name text DEFAULT NULL,
    OUT key text, OUT valid boolean, OUT reason text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE     -- and not PARALLEL SAFE: it has a subtransaction
    AS $$
DECLARE
    signed modelopt_private.version := find_version(ref, 'usage');
    message bytea;
    no_message text;
    found_signature record;
BEGIN
    BEGIN
        message := statement(signed);
    EXCEPTION
        WHEN data_corrupted THEN no_message := 'what the repository has of the version is damaged';
        WHEN object_not_in_prerequisite_state THEN no_message := 'the content of the version is gone';
    END;
    IF key_name IS NOT NULL THEN
        PERFORM find_key(key_name);
    END IF;
    FOR found_signature IN
        SELECT s.key_name, s.signature, k.public_key, k.revoked_at
        FROM signature s JOIN signing_key k ON k.name = s.key_name
        WHERE s.version_id = signed.id AND s.key_name = coalesce(verify_signature.key_name, s.key_name)
        ORDER BY s.added_at, s.key_name
    LOOP
        key := found_signature.key_name;
        reason := CASE
            WHEN message IS NULL THEN no_message
            WHEN NOT ed25519_verify(found_signature.public_key, message, found_signature.signature)
                THEN 'the signature does not fit what the repository has of the version now'
            WHEN found_signature.revoked_at IS NOT NULL THEN 'the key was revoked' END;
        valid := reason IS NULL;
        RETURN NEXT;
    END LOOP;
    IF NOT FOUND THEN
        key := key_name;
        valid := false;
        reason := CASE WHEN key_name IS NULL THEN 'the version has no signature' ELSE 'the key did not sign the version' END;
        RETURN NEXT;
    END IF;
END
$$;
COMMENT ON FUNCTION modelopt_private.verify_signature(text, text) IS
    'the signatures of a version, or that of one key: whether each is valid, and why not; a row without a key, and not valid, if there are none. Valid proves that the holder of the private key signed this version with this number, parents, author, time, message, parameters, recipe, metadata, graph and tensors, and that the repository still records them so. It does not prove when it was signed, whose key it is (register_key decides that), nor that the stored weights are those with these digests: modelopt.verify() hashes them';
