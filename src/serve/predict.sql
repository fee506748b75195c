-- Models that run, next to the data.

CREATE FUNCTION predict(model model, features anyarray, output text DEFAULT NULL) RETURNS real[]
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_predict';
COMMENT ON FUNCTION predict(model, anyarray, text) IS
    'what a model gives for a row of features (an array), or for rows of them (an array of two dimensions); output names one of the model''s outputs, the first one when null; a row with a null has null predictions. Numbers that are no real, and texts, predict_json() gives. Raises 22023 when the model does not take such rows, 38000 when it fails';

CREATE FUNCTION predict(model text, features anyarray, output text DEFAULT NULL) RETURNS real[]
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_predict';
COMMENT ON FUNCTION predict(text, anyarray, text) IS
    'the same with a version of the repository, by a reference as modelopt.get() takes it; needs the privilege usage; the version is one for all rows of a statement';

CREATE FUNCTION predict_rows(model model, query text, batch_size integer DEFAULT 1024, output text DEFAULT NULL,
        on_error text DEFAULT 'error', OUT id bigint, OUT prediction real[], OUT error text) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_predict_rows';
COMMENT ON FUNCTION predict_rows(model, text, integer, text, text) IS
    'predictions for the rows of a query, in their order; its first column is the id that comes back, and the others are features: numbers, or arrays of them, in the order of the model''s inputs, or called like them; batch_size rows go through the model at once; a row with a null has a null prediction; on_error null gives one to rows that the model does not take too, and says why in error';

CREATE FUNCTION predict_rows(model model, query text, id_type anyelement, batch_size integer DEFAULT 1024,
        output text DEFAULT NULL, on_error text DEFAULT 'error',
        OUT id anyelement, OUT prediction real[], OUT error text) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_predict_rows_typed';
COMMENT ON FUNCTION predict_rows(model, text, anyelement, integer, text, text) IS
    'the same with ids of another type than bigint: id_type => null::uuid';

CREATE FUNCTION predict_rows(model text, query text, batch_size integer DEFAULT 1024, output text DEFAULT NULL,
        on_error text DEFAULT 'error', OUT id bigint, OUT prediction real[], OUT error text) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_predict_rows';
COMMENT ON FUNCTION predict_rows(text, text, integer, text, text) IS
    'the same with a version of the repository, by a reference; needs the privilege usage';

CREATE FUNCTION predict_rows(model text, query text, id_type anyelement, batch_size integer DEFAULT 1024,
        output text DEFAULT NULL, on_error text DEFAULT 'error',
        OUT id anyelement, OUT prediction real[], OUT error text) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_predict_rows_typed';
COMMENT ON FUNCTION predict_rows(text, text, anyelement, integer, text, text) IS
    'the same with a version of the repository, and ids of another type than bigint: id_type => null::uuid';
