-- Models that run, next to the data.

CREATE FUNCTION predict(model model, features anyarray, output text DEFAULT NULL) RETURNS real[]
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_predict';
COMMENT ON FUNCTION predict(model, anyarray, text) IS
    'what a model gives for a row of features (an array), or for rows of them (an array of two dimensions), or for tensors in the shape of its input; a row of a model with several inputs has their values one after another; output names one of the model''s outputs, the first one when null; a row with a null has null predictions, and one of an output with several dimensions for a row has these. Numbers that are no real, and texts, predict_json() gives. Raises 22023 when the model does not take such rows, 38000 when it fails';

CREATE FUNCTION predict(model text, features anyarray, output text DEFAULT NULL) RETURNS real[]
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_predict';
COMMENT ON FUNCTION predict(text, anyarray, text) IS
    'the same with a version of the repository, by a reference as modelopt.get() takes it; needs the privilege usage; the version is one for all rows of a statement';

-- A literal, which has no type of its own, is a text here rather than an array of
-- nobody knows what.
CREATE FUNCTION predict(model model, features text, output text DEFAULT NULL) RETURNS real[]
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_predict';
COMMENT ON FUNCTION predict(model, text, text) IS
    'the same with the array in a text, as a literal without a type is: ''{1,2}'' is of numbers, or of texts, as the model''s input is. Raises 22P02 when it is no array';

CREATE FUNCTION predict(model text, features text, output text DEFAULT NULL) RETURNS real[]
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_predict';
COMMENT ON FUNCTION predict(text, text, text) IS
    'the same with a version of the repository, by a reference; needs the privilege usage';

-- What to give, for who may see that and no weights.

CREATE FUNCTION inputs(model text, OUT name text, OUT dtype text, OUT shape text[]) RETURNS SETOF record
    LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 5
    AS 'MODULE_PATHNAME', 'modelopt_served_inputs';
COMMENT ON FUNCTION inputs(text) IS
    'what a version of the repository takes, by a reference, as inputs() of a model shows it; needs the privilege usage';

CREATE FUNCTION outputs(model text, OUT name text, OUT dtype text, OUT shape text[]) RETURNS SETOF record
    LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 5
    AS 'MODULE_PATHNAME', 'modelopt_served_outputs';
COMMENT ON FUNCTION outputs(text) IS
    'what a version of the repository gives, by a reference, as outputs() of a model shows it; needs the privilege usage';

-- Not safe in parallel, because the query may be anything, and what a row makes
-- fail is undone in a subtransaction.
CREATE FUNCTION predict_rows(model model, query text, batch_size integer DEFAULT 1024, output text DEFAULT NULL,
        on_error text DEFAULT 'error', OUT id bigint, OUT prediction real[], OUT error text) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'modelopt_predict_rows';
COMMENT ON FUNCTION predict_rows(model, text, integer, text, text) IS
    'predictions for the rows of a query, in their order; its first column is the id that comes back, and the others are features: numbers, or arrays of them, in the order of the model''s inputs, or called like them; batch_size rows go through the model at once; a row with a null has a null prediction; on_error null gives one to rows that the model does not take too, and says why in error';

CREATE FUNCTION predict_rows(model model, query text, id_type anyelement, batch_size integer DEFAULT 1024,
        output text DEFAULT NULL, on_error text DEFAULT 'error',
        OUT id anyelement, OUT prediction real[], OUT error text) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'modelopt_predict_rows_typed';
COMMENT ON FUNCTION predict_rows(model, text, anyelement, integer, text, text) IS
    'the same with ids of another type than bigint: id_type => null::uuid, which comes before other named arguments';

CREATE FUNCTION predict_rows(model text, query text, batch_size integer DEFAULT 1024, output text DEFAULT NULL,
        on_error text DEFAULT 'error', OUT id bigint, OUT prediction real[], OUT error text) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'modelopt_predict_rows';
COMMENT ON FUNCTION predict_rows(text, text, integer, text, text) IS
    'the same with a version of the repository, by a reference; needs the privilege usage';

CREATE FUNCTION predict_rows(model text, query text, id_type anyelement, batch_size integer DEFAULT 1024,
        output text DEFAULT NULL, on_error text DEFAULT 'error',
        OUT id anyelement, OUT prediction real[], OUT error text) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'modelopt_predict_rows_typed';
COMMENT ON FUNCTION predict_rows(text, text, anyelement, integer, text, text) IS
    'the same with a version of the repository, and ids of another type than bigint: id_type => null::uuid';

CREATE FUNCTION predict_json(model model, inputs jsonb) RETURNS jsonb
    LANGUAGE C STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_predict_json';
COMMENT ON FUNCTION predict_json(model, jsonb) IS
    'what a model gives for inputs of any type and shape: an object with a key for each input, or the value of the only one; a tensor is nested arrays, or {"shape": [...], "data": [...]}; a sequence is an array of its elements, an optional value itself or null; NaN and infinities are strings; the result has a key for each output: a map is an object, and a tensor without elements has shape and data';

CREATE FUNCTION predict_json(model text, inputs jsonb) RETURNS jsonb
    LANGUAGE C STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_predict_json';
COMMENT ON FUNCTION predict_json(text, jsonb) IS
    'the same with a version of the repository, by a reference; needs the privilege usage';

CREATE FUNCTION classify(model model, features anyarray, labels text[] DEFAULT NULL, output text DEFAULT NULL,
        OUT label text, OUT probability real)
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_classify';
COMMENT ON FUNCTION classify(model, anyarray, text[], text) IS
    'the most probable class of a row of features, and its probability: labels are the names of the classes, in the order of the model''s scores, or of the keys where it gives a map of them; without them the label is what the model gives, or the class''s key or number, from 0; scores that are no probabilities become such by the softmax; a single one, the second class'', is a probability when it is between 0 and 1, unless the graph shows that a product of matrices makes it, and else becomes such by the logistic function. NaN among the scores gives a null label, unless the model gives one, and NaN. output names the one with the scores, by default the first of floats. Raises 0A000 when what it gives are values of a regression, or have more than one dimension for a row, 22023 for labels of another number or given twice';

CREATE FUNCTION classify(model text, features anyarray, labels text[] DEFAULT NULL, output text DEFAULT NULL,
        OUT label text, OUT probability real)
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_classify';
COMMENT ON FUNCTION classify(text, anyarray, text[], text) IS
    'the same with a version of the repository, by a reference; needs the privilege usage';

CREATE FUNCTION classify(model model, features text, labels text[] DEFAULT NULL, output text DEFAULT NULL,
        OUT label text, OUT probability real)
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_classify';
COMMENT ON FUNCTION classify(model, text, text[], text) IS
    'the same with the array of features in a text, as a literal without a type is';

CREATE FUNCTION classify(model text, features text, labels text[] DEFAULT NULL, output text DEFAULT NULL,
        OUT label text, OUT probability real)
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_classify';
COMMENT ON FUNCTION classify(text, text, text[], text) IS
    'the same with a version of the repository, by a reference; needs the privilege usage';

-- Labels of a table.

CREATE FUNCTION classify_rows(model model, query text, labels text[] DEFAULT NULL, batch_size integer DEFAULT 1024,
        output text DEFAULT NULL, on_error text DEFAULT 'error',
        OUT id bigint, OUT label text, OUT probability real, OUT error text) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'modelopt_classify_rows';
COMMENT ON FUNCTION classify_rows(model, text, text[], integer, text, text) IS
    'the label of each row of a query, and its probability, as classify() gives them, in the order of rows: columns, batches and errors are as predict_rows() has them, so a model with inputs of several types takes a column for each';

CREATE FUNCTION classify_rows(model model, query text, id_type anyelement, labels text[] DEFAULT NULL, batch_size integer DEFAULT 1024,
        output text DEFAULT NULL, on_error text DEFAULT 'error',
        OUT id anyelement, OUT label text, OUT probability real, OUT error text) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'modelopt_classify_rows_typed';
COMMENT ON FUNCTION classify_rows(model, text, anyelement, text[], integer, text, text) IS
    'the same with ids of another type than bigint: id_type => null::uuid, which comes before other named arguments';

CREATE FUNCTION classify_rows(model text, query text, labels text[] DEFAULT NULL, batch_size integer DEFAULT 1024,
        output text DEFAULT NULL, on_error text DEFAULT 'error',
        OUT id bigint, OUT label text, OUT probability real, OUT error text) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'modelopt_classify_rows';
COMMENT ON FUNCTION classify_rows(text, text, text[], integer, text, text) IS
    'the same with a version of the repository, by a reference; needs the privilege usage';

CREATE FUNCTION classify_rows(model text, query text, id_type anyelement, labels text[] DEFAULT NULL, batch_size integer DEFAULT 1024,
        output text DEFAULT NULL, on_error text DEFAULT 'error',
        OUT id anyelement, OUT label text, OUT probability real, OUT error text) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'modelopt_classify_rows_typed';
COMMENT ON FUNCTION classify_rows(text, text, anyelement, text[], integer, text, text) IS
    'the same with a version of the repository, and ids of another type than bigint: id_type => null::uuid';

-- predict_batch, in its parts.

CREATE FUNCTION predict_batch_add(internal, model, anyarray) RETURNS internal
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_batch_add';
COMMENT ON FUNCTION predict_batch_add(internal, model, anyarray) IS 'part of predict_batch()';
CREATE FUNCTION predict_batch_add(internal, text, anyarray) RETURNS internal
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_batch_add';
COMMENT ON FUNCTION predict_batch_add(internal, text, anyarray) IS 'part of predict_batch()';
CREATE FUNCTION predict_batch_remove(internal, model, anyarray) RETURNS internal
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_batch_remove';
COMMENT ON FUNCTION predict_batch_remove(internal, model, anyarray) IS 'part of predict_batch()';
CREATE FUNCTION predict_batch_remove(internal, text, anyarray) RETURNS internal
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_batch_remove';
COMMENT ON FUNCTION predict_batch_remove(internal, text, anyarray) IS 'part of predict_batch()';
CREATE FUNCTION predict_batch_first(internal) RETURNS real[]
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_batch_first';
COMMENT ON FUNCTION predict_batch_first(internal) IS 'part of predict_batch()';
CREATE FUNCTION predict_batch_frame(internal) RETURNS real[]
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_batch_frame';
COMMENT ON FUNCTION predict_batch_frame(internal) IS 'part of predict_batch()';

CREATE AGGREGATE predict_batch(model model, features anyarray) (
    SFUNC = predict_batch_add, STYPE = internal, FINALFUNC = predict_batch_first,
    MSFUNC = predict_batch_add, MINVFUNC = predict_batch_remove, MSTYPE = internal, MFINALFUNC = predict_batch_frame,
    PARALLEL = SAFE);
COMMENT ON AGGREGATE predict_batch(model, anyarray) IS
    'predictions of a window''s rows together, as predict() gives each: OVER (ROWS BETWEEN CURRENT ROW AND 255 FOLLOWING) has 256 rows go through the model at once';
CREATE AGGREGATE predict_batch(model text, features anyarray) (
    SFUNC = predict_batch_add, STYPE = internal, FINALFUNC = predict_batch_first,
    MSFUNC = predict_batch_add, MINVFUNC = predict_batch_remove, MSTYPE = internal, MFINALFUNC = predict_batch_frame,
    PARALLEL = SAFE);
COMMENT ON AGGREGATE predict_batch(text, anyarray) IS
    'the same with a version of the repository, by a reference; needs the privilege usage';
