-- The type: input and output, casts, equality and hashing.

CREATE TYPE model;

CREATE FUNCTION model_in(cstring) RETURNS model
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_in';
COMMENT ON FUNCTION model_in(cstring) IS
    'input function of type model: base64 of the flat form, checked whole';

CREATE FUNCTION model_out(model) RETURNS cstring
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_out';
COMMENT ON FUNCTION model_out(model) IS
    'output function of type model: base64 of the flat form';

CREATE FUNCTION model_recv(internal) RETURNS model
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_recv';
COMMENT ON FUNCTION model_recv(internal) IS
    'binary input function of type model: the flat form, checked whole';

CREATE FUNCTION model_send(model) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_send';
COMMENT ON FUNCTION model_send(model) IS
    'binary output function of type model: the flat form';

-- Weights do not compress under pglz or lz4, and EXTERNAL keeps slices
-- readable, so that what needs only the manifest reads only the manifest.
CREATE TYPE model (
    INPUT = model_in,
    OUTPUT = model_out,
    RECEIVE = model_recv,
    SEND = model_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = double,
    STORAGE = external
);
COMMENT ON TYPE model IS
    'a machine-learning model: named tensors, metadata, and how it was made';

-- Casts are explicit: any bytea might otherwise pass for a model.

CREATE FUNCTION model(bytea) RETURNS model
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'modelopt_from_bytea';
COMMENT ON FUNCTION model(bytea) IS
    'the model whose flat form the bytes are, checked whole; for checkpoints use model_read';

CREATE FUNCTION bytea(model) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'modelopt_to_bytea';
COMMENT ON FUNCTION bytea(model) IS
    'the flat form of a model, as bytes that a cast turns back; for checkpoints use model_write';

CREATE CAST (bytea AS model) WITH FUNCTION model(bytea);
CREATE CAST (model AS bytea) WITH FUNCTION bytea(model);

-- Equality: the same tensors in the same order with the same bits, and the
-- same metadata, however they are encoded.

CREATE FUNCTION model_eq(model, model) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10
    AS 'MODULE_PATHNAME', 'modelopt_eq';
COMMENT ON FUNCTION model_eq(model, model) IS
    'whether two models have the same digest: names, dtypes, shapes, values as bits, metadata without the recipe';

CREATE FUNCTION model_ne(model, model) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10
    AS 'MODULE_PATHNAME', 'modelopt_ne';
COMMENT ON FUNCTION model_ne(model, model) IS
    'whether two models have different digests';

CREATE FUNCTION model_hash(model) RETURNS integer
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10
    AS 'MODULE_PATHNAME', 'modelopt_hash';
COMMENT ON FUNCTION model_hash(model) IS
    'hash of a model''s digest, for hash indexes, joins and grouping';

CREATE FUNCTION model_hash_extended(model, bigint) RETURNS bigint
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10
    AS 'MODULE_PATHNAME', 'modelopt_hash_extended';
COMMENT ON FUNCTION model_hash_extended(model, bigint) IS
    'hash of a model''s digest with a seed, for hash partitioning';

CREATE OPERATOR = (
    LEFTARG = model,
    RIGHTARG = model,
    FUNCTION = model_eq,
    COMMUTATOR = =,
    NEGATOR = <>,
    RESTRICT = eqsel,
    JOIN = eqjoinsel,
    HASHES
);
COMMENT ON OPERATOR = (model, model) IS 'equal content, by digest';

CREATE OPERATOR <> (
    LEFTARG = model,
    RIGHTARG = model,
    FUNCTION = model_ne,
    COMMUTATOR = <>,
    NEGATOR = =,
    RESTRICT = neqsel,
    JOIN = neqjoinsel
);
COMMENT ON OPERATOR <> (model, model) IS 'different content, by digest';

CREATE OPERATOR CLASS model_ops
    DEFAULT FOR TYPE model USING hash AS
    OPERATOR 1 = (model, model),
    FUNCTION 1 model_hash(model),
    FUNCTION 2 model_hash_extended(model, bigint);
