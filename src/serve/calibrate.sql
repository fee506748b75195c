-- What values inside of a model are like, for those who quantize and prune.  The
-- schemas are named, for the repository's part leaves another search_path.  That
-- by name is published with those of optimize.sql.

CREATE FUNCTION @extschema@.calibrate(model @extschema@.model, query text, batch_size integer DEFAULT 64,
        OUT activation_ranges jsonb, OUT activation_norms jsonb, OUT n bigint) RETURNS record
    LANGUAGE C STABLE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'modelopt_calibrate';
COMMENT ON FUNCTION @extschema@.calibrate(@extschema@.model, text, integer) IS
    'runs a model on the rows of a query, whose columns are features as predict_rows() has them, and looks at what goes into its products (MatMul, Gemm, Conv): activation_ranges, as quantize() takes them, has the least and the greatest number of each such value of the graph; activation_norms, as prune(method => ''wanda'') takes them, has for each weight a norm of each input, the root of the mean over rows of the sum of its squares (over the positions of a row, where it has several; over all groups of a grouped convolution); n is how many rows they are of, those with nulls being left out. Raises 0A000 for a model without a graph, 22003 when a value is not finite, 22023 when there is no row without a null, 38000 when the model fails';

CREATE FUNCTION modelopt_private.calibrate(model text, query text, batch_size integer DEFAULT 64,
        OUT activation_ranges jsonb, OUT activation_norms jsonb, OUT n bigint) RETURNS record
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE
    AS $$ SELECT c.activation_ranges, c.activation_norms, c.n FROM @extschema@.calibrate(modelopt.get(model), query, batch_size) c $$;
COMMENT ON FUNCTION modelopt_private.calibrate(text, text, integer) IS
    'the same with a version of the repository, by a reference; needs the privilege read, for what goes on inside of a model tells its weights';
