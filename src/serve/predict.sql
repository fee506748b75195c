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
