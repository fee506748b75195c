-- References from a query, which runs as who asks for one: these are no gates.

CREATE FUNCTION modelopt.profile(query text, max_rows bigint DEFAULT 100000, outputs boolean DEFAULT false,
    OUT number integer, OUT name text, OUT kind text, OUT edges double precision[], OUT categories text[], OUT counts bigint[],
    OUT sums double precision[], OUT mean double precision, OUT deviation double precision, OUT minimum double precision,
    OUT maximum double precision) RETURNS SETOF record
    LANGUAGE C STRICT STABLE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'modelopt_profile';
COMMENT ON FUNCTION modelopt.profile(text, bigint, boolean) IS
    'what the columns of a query are like, as drift has it: numbers in bins of about as many rows each, anything else in categories; arrays of numbers are a feature for each element. With outputs, as the outputs of a model: probabilities in ten equal bins, whole numbers of up to 30 kinds as classes. Runs the query as the current user';

CREATE FUNCTION modelopt.set_reference(ref text, query text, outputs text DEFAULT NULL, max_rows bigint DEFAULT 100000) RETURNS bigint
    LANGUAGE sql
    AS $$
    SELECT modelopt.put_reference(ref, pg_catalog.jsonb_agg(pg_catalog.to_jsonb(p.*)),
        pg_catalog.concat_ws(E'\n', query, outputs))
    FROM (SELECT * FROM modelopt.profile(query, max_rows, false)
          UNION ALL
          SELECT * FROM modelopt.profile(outputs, max_rows, true)) p
$$;
COMMENT ON FUNCTION modelopt.set_reference(text, text, text, bigint) IS
    'makes the rows of a query, whose columns are a model''s inputs in their order, what a version is compared with in modelopt.stat_drift, and those of a second one its outputs, of which some at the end may be left out; returns the rows. An array is as many columns as it has elements. Of a model with several inputs the columns may be called like these, all of them or none, in any order; their number and whether they are texts must fit the model''s graph, if it has one (22023). Queries run as the current user, who needs the privilege write on the model. A version''s reference is set once: modelopt.drop_reference() makes room for another';
