-- The graph of an ONNX model.

CREATE FUNCTION inputs(
    model,
    OUT name text,
    OUT dtype text,
    OUT shape text[]
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 5
    AS 'MODULE_PATHNAME', 'modelopt_inputs';
COMMENT ON FUNCTION inputs(model) IS
    'what a model with a graph takes, in order, without the inputs that an initializer gives a value; dtype: the type of elements, as tensors() names it, or string, or a type such as sequence(f32), null when the graph does not say; shape: dimensions as numbers or as the names that stand for them, null for one that is not known, null as a whole when their number is not known; no rows for a model without a graph; reads no weights. Raises 22P03 when the graph of a stored model is damaged';

CREATE FUNCTION outputs(
    model,
    OUT name text,
    OUT dtype text,
    OUT shape text[]
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 5
    AS 'MODULE_PATHNAME', 'modelopt_outputs';
COMMENT ON FUNCTION outputs(model) IS
    'what a model with a graph gives, in order; columns and errors as of inputs()';

CREATE FUNCTION nodes(
    model,
    OUT "position" integer,
    OUT name text,
    OUT op_type text,
    OUT domain text,
    OUT inputs text[],
    OUT outputs text[],
    OUT attributes jsonb
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 200
    AS 'MODULE_PATHNAME', 'modelopt_nodes';
COMMENT ON FUNCTION nodes(model) IS
    'the nodes of a model''s graph in the order in which they compute, from position 1 on, without those of graphs in them: its name if it has one, operator and domain, the values that it takes ('''' where an optional one is left out) and makes, and its attributes by name: numbers, strings and arrays of them as they are, tensors and arrays of more than 64 values as an object that says of which type they are and how large; no rows for a model without a graph; reads no weights. Raises 22P03 when the graph of a stored model is damaged';
