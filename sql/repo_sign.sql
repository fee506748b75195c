-- Signatures: known answers, keys in all their forms, what manifests say and
-- what is refused.  Signatures of versions are made in the TAP test
-- 120_repo_sign, by the openssl program: in here there is nothing to sign with.
SET client_min_messages = warning;
CREATE FUNCTION try(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE query;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ' ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;

-- ---------- RFC 8032, 7.1 ----------

CREATE TABLE rfc (test text, public_key bytea, message bytea, signature bytea);
INSERT INTO rfc VALUES
    ('1', '\xd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', '',
     '\xe5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b'),
    ('2', '\x3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c', '\x72',
     '\x92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00'),
    ('3', '\xfc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025', '\xaf82',
     '\x6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a'),
    ('SHA(abc)', '\xec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf', sha512('abc'),
     '\xdc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704');
SELECT test, modelopt_private.ed25519_verify(public_key, message, signature) AS good,
    modelopt_private.ed25519_verify(public_key, message || '\x00', signature) AS longer_message
FROM rfc;
-- Each bit counts, of the signature and of the key.
SELECT test, count(*) AS bits, count(*) FILTER (WHERE modelopt_private.ed25519_verify(public_key, message,
    set_bit(signature, bit, 1 - get_bit(signature, bit)))) AS good
FROM rfc, generate_series(0, 511) bit GROUP BY test ORDER BY test;
SELECT test, count(*) AS bits, count(*) FILTER (WHERE modelopt_private.ed25519_verify(
    set_bit(public_key, bit, 1 - get_bit(public_key, bit)), message, signature)) AS good
FROM rfc, generate_series(0, 255) bit GROUP BY test ORDER BY test;
-- A signature has one form: S + L is not S (5.1.7).
SELECT modelopt_private.ed25519_verify(public_key, message,
    '\x92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69daf52db7415978abc61b2c2eb6aeebfca0387b2eaeb4302aeeb00d291612bb0c10') AS malleable
FROM rfc WHERE test = '2';
SELECT length, modelopt_private.ed25519_verify(public_key, message, substr(signature || signature, 1, length)) AS good
FROM rfc, unnest('{0,1,63,64,65,128}'::int[]) length WHERE test = '1' ORDER BY 1;
SELECT modelopt_private.ed25519_verify('\x00', message, signature), modelopt_private.ed25519_verify('', message, signature) FROM rfc WHERE test = '1';

-- ---------- keys ----------

-- The first key as SubjectPublicKeyInfo (RFC 8410), in DER and in PEM.
SELECT form, modelopt_private.ed25519_key(given) = (SELECT public_key FROM rfc WHERE test = '1') AS same
FROM (VALUES
    ('raw', '\xd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'::bytea),
    ('DER', '\x302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'),
    ('PEM', E'-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n'),
    ('PEM with CRLF', E'-----BEGIN PUBLIC KEY-----\r\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\r\n-----END PUBLIC KEY-----\r\n')) k (form, given);
SELECT form, try(format('SELECT modelopt_private.ed25519_key(%L)', given)) AS refused
FROM (VALUES
    (1, 'nothing', ''::bytea),
    (2, '31 bytes', decode(repeat('01', 31), 'hex')),
    (3, '33 bytes', decode(repeat('01', 33), 'hex')),
    (4, 'DER, cut short', '\x302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f70751'),
    (5, 'DER and more', '\x302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a00'),
    (6, 'PEM, not closed', E'-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n'),
    (7, 'X25519', E'-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAUS9iVmIiD2+ufTruY9Y+DGPyDvPaIzN/AqLqWr7IxnY=\n-----END PUBLIC KEY-----\n'),
    (8, 'Ed448', E'-----BEGIN PUBLIC KEY-----\nMEMwBQYDK2VxAzoAYOm37a1n4WnijaJ7+Kbd2QanbSrp5oEmUO42CFe5QRMwLn1a\nLArVsCvN1ybdpIfOIoJ33Ts/T+2A\n-----END PUBLIC KEY-----\n'),
    (9, 'RSA', E'-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDVnMuIJW6eSZeA9wzIZwQt5RDw\n2p0XL6/ANUQNvHLS28rxCezmf6amg07CYvf+G9g7i7SDsTOfVQy+9Cfh3nG5AUN6\nOkQw7KZH/7VYw/wcAdrdorETmRqc133WLglYo0v6oQmo5TKmQMZWY8QvPDkJXDDP\ndLYkm+85V6hCFYUz+wIDAQAB\n-----END PUBLIC KEY-----\n'),
    (10, 'long', decode(repeat('30', 100000), 'hex')),
    (11, 'private', E'-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n')) k (number, form, given)
ORDER BY number;
-- Points of small order, in canonical form and not, with either sign.
SELECT count(*), count(*) FILTER (WHERE try(format('SELECT modelopt_private.ed25519_key(%L)', set_byte(point, 31, get_byte(point, 31) | sign)))
    LIKE '22023 key is a point of small order%') AS refused
FROM unnest(ARRAY[
    '\x0000000000000000000000000000000000000000000000000000000000000000',
    '\x0100000000000000000000000000000000000000000000000000000000000000',
    '\x26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    '\xc7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    '\xecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    '\xedffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    '\xeeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f']::bytea[]) point, unnest('{0,128}'::int[]) sign;
SELECT try('SELECT modelopt.register_key(''rs one'', ''\x00'')');
SELECT modelopt.register_key('rs-one', public_key) FROM rfc WHERE test = '1';
SELECT modelopt.register_key('rs-two', public_key) FROM rfc WHERE test = '2';
SELECT try(format('SELECT modelopt.register_key(''rs-one'', %L)', public_key)) FROM rfc WHERE test = 'SHA(abc)';
SELECT try(format('SELECT modelopt.register_key(''rs-three'', %L)', public_key)) FROM rfc WHERE test = '1';
SELECT name, public_key = (SELECT public_key FROM rfc WHERE test = '1') AS public_key, registered_by = current_user AS by, revoked_at
FROM modelopt.signing_keys WHERE name = 'rs-one';

-- ---------- manifests ----------

SELECT modelopt.commit('rs', model_agg(name, data ORDER BY name DESC), 'signed') FROM (VALUES ('w', '{{1,2,3}}'::real[]), ('naïve "b"', '{-0.5}')) v (name, data);
-- In in-toto's form; a subject's digest is that of its elements, in order.
SELECT m ->> '_type' AS type, m ->> 'predicateType' AS predicate_type, m -> 'predicate' ->> 'version' AS version,
    m #>> '{predicate,digest,sha256}' = v.digest AS digest, m #>> '{predicate,model_digest,sha256}' = v.model_digest AS model_digest
FROM modelopt.versions v, CAST(modelopt.manifest('rs') AS jsonb) m WHERE v.model = 'rs';
SELECT s ->> 'name' AS name, s -> 'annotations' AS annotations,
    s #>> '{digest,sha256}' = encode(sha256(CASE s ->> 'name' WHEN 'w' THEN '\x0000803f0000004000004040'::bytea ELSE '\x000000bf' END), 'hex') AS digest
FROM jsonb_array_elements(modelopt.manifest('rs')::jsonb -> 'subject') s;
-- Its bytes are its own: no white space, keys in order, always the same.
SELECT regexp_replace(modelopt.manifest('rs'), '[0-9a-f]{64}', '...', 'g') AS bytes;
SELECT modelopt.manifest('rs#1') = modelopt.manifest('sha256:' || digest) AS same FROM modelopt.versions WHERE model = 'rs';
SELECT modelopt.manifest('rs') AS manifest \gset
SELECT modelopt.rename('rs', 'rs-renamed');
SELECT modelopt.tag('rs-renamed#1', 'v1'), modelopt.log_metric('rs-renamed', 'auc', 0.5);
SELECT modelopt.manifest('rs-renamed') = :'manifest' AS same;
-- Another encoding of the same weights is another content of the repository, and the same subjects.
SELECT modelopt.commit('rs-sparse', prune(model_agg('w', '{0,0,0,0,0,0,0,0,0,0,0,5}'), 0.5), 'sparse');
SELECT s #>> '{digest,sha256}' = encode(sha256(decode(repeat('00', 44) || '0000a040', 'hex')), 'hex') AS digest
FROM jsonb_array_elements(modelopt.manifest('rs-sparse')::jsonb -> 'subject') s;
SELECT modelopt.commit('rs-empty', model_set_metadata(model_agg('w', '{}'::real[]), '{"a": 1}'), 'no elements');
SELECT modelopt.manifest('rs-empty')::jsonb -> 'subject' = jsonb_build_array(jsonb_build_object('name', 'w',
    'annotations', '{"dtype": "f32", "shape": [0]}'::jsonb, 'digest', jsonb_build_object('sha256', encode(sha256(''), 'hex')))) AS empty;

-- ---------- signing ----------

-- A good signature of something else, or by another key, is none of this.
SELECT try(format('SELECT modelopt.sign(''rs-renamed'', ''rs-one'', %L)', signature)) FROM rfc WHERE test = '1';
SELECT try('SELECT modelopt.sign(''rs-renamed'', ''rs-one'', '''')');
SELECT try('SELECT modelopt.sign(''rs-renamed'', ''rs-none'', ''\x00'')');
SELECT try('SELECT modelopt.sign(''rs-renamed#9'', ''rs-one'', ''\x00'')');
SELECT try('SELECT modelopt.verify_signature(''rs-renamed'', ''rs-none'')');
SELECT * FROM modelopt.verify_signature('rs-renamed');
SELECT * FROM modelopt.verify_signature('rs-renamed', 'rs-one');
SELECT count(*) FROM modelopt.signatures;
SELECT modelopt.revoke_key('rs-two', reason => 'lost');
SELECT try('SELECT modelopt.revoke_key(''rs-two'')');
SELECT try('SELECT modelopt.revoke_key(''rs-none'')');
SELECT try(format('SELECT modelopt.sign(''rs-renamed'', ''rs-two'', %L)', signature)) FROM rfc WHERE test = '2';
SELECT try(format('SELECT modelopt.register_key(''rs-again'', %L)', public_key)) FROM rfc WHERE test = '2';
SELECT name, revoked_at IS NOT NULL AS revoked FROM modelopt.signing_keys WHERE name LIKE 'rs-%' ORDER BY 1;
SELECT operation, details - 'public_key' AS details FROM modelopt.audit WHERE model = '' AND details ->> 'key' LIKE 'rs-%' ORDER BY number;

SELECT modelopt.drop(name) FROM modelopt.models WHERE name LIKE 'rs-%';
DROP TABLE rfc;
DROP FUNCTION try;
