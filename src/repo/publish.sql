-- What people call: for each function above that has a comment, a gate of the
-- same name and arguments in the schema modelopt.  Other gates lead to bodies
-- in the same way.

-- Again, as in tables.sql, nothing of the extension's schema.
SET LOCAL search_path TO pg_catalog, modelopt_private, pg_temp;

CREATE FUNCTION modelopt_private.publish(body regprocedure, schema name DEFAULT 'modelopt', symbol text DEFAULT 'modelopt_gate') RETURNS void
    LANGUAGE plpgsql
    AS $publish$
DECLARE
    p pg_proc;
    gate text;
BEGIN
    SELECT * INTO p FROM pg_proc WHERE oid = body;
    gate := format('%I.%I(%s)', schema, p.proname, pg_get_function_identity_arguments(body));
    EXECUTE format('CREATE FUNCTION %I.%I(%s) RETURNS %s LANGUAGE C %s %s PARALLEL %s %s AS %L, %L',
        schema, p.proname, pg_get_function_arguments(body), pg_get_function_result(body),
        CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
        CASE WHEN p.proisstrict THEN 'STRICT' ELSE '' END,
        CASE p.proparallel WHEN 's' THEN 'SAFE' WHEN 'r' THEN 'RESTRICTED' ELSE 'UNSAFE' END,
        CASE WHEN p.proretset THEN 'ROWS ' || p.prorows ELSE '' END,
        'MODULE_PATHNAME', symbol);
    EXECUTE format('COMMENT ON FUNCTION %s IS %L', gate, obj_description(body, 'pg_proc'));
END
$publish$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA modelopt_private FROM PUBLIC;
SELECT modelopt_private.publish(p.oid)
FROM pg_proc p JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass
WHERE p.pronamespace = 'modelopt_private'::regnamespace
ORDER BY p.oid;
