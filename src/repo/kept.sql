-- What holds of all tables above: they are kept by pg_dump, and who may write them.

-- ---------- kept by pg_dump ----------

DO $$
DECLARE
    kept regclass;
BEGIN
    FOR kept IN
        SELECT oid FROM pg_class
        WHERE relnamespace = 'modelopt_private'::regnamespace AND relkind IN ('r', 'S') ORDER BY oid
    LOOP
        PERFORM pg_extension_config_dump(kept, '');
    END LOOP;
END
$$;

-- ---------- only grows ----------

-- A version, a move and an audited action happened; what happened cannot be
-- changed, and goes only with a whole model (versions) or never.
CREATE FUNCTION modelopt_private.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_ARGV[0] = 'with model' AND modelopt_private.in_verb() THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'The history of models only grows.';
END
$$;

-- Whether a function of the repository is at work, which knows what it may do.
CREATE FUNCTION modelopt_private.in_verb() RETURNS boolean
    LANGUAGE C STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_in_verb';

DO $$
DECLARE
    changed record;
BEGIN
    FOR changed IN
        SELECT * FROM (VALUES ('version', 'with model'), ('version_parent', 'with model'),
            ('signature', 'with model'), ('reflog', 'with model'), ('audit', 'never')) t (name, allowed)
    LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON modelopt_private.%I '
            'FOR EACH ROW EXECUTE FUNCTION modelopt_private.refuse_change(%L)', changed.name, changed.allowed);
        EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON modelopt_private.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION modelopt_private.refuse_change(%L)', changed.name, changed.allowed);
    END LOOP;
END
$$;

-- Rows come from the functions of the repository; or from a dump, see restore.c.
CREATE FUNCTION modelopt_private.begin_insert() RETURNS trigger
    LANGUAGE C
    AS 'MODULE_PATHNAME', 'modelopt_begin_insert';
CREATE FUNCTION modelopt_private.end_insert() RETURNS trigger
    LANGUAGE C
    AS 'MODULE_PATHNAME', 'modelopt_end_insert';

DO $$
DECLARE
    filled regclass;
BEGIN
    FOR filled IN
        SELECT oid FROM pg_class WHERE relnamespace = 'modelopt_private'::regnamespace AND relkind = 'r' ORDER BY oid
    LOOP
        EXECUTE format('CREATE TRIGGER begin_insert BEFORE INSERT ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION modelopt_private.begin_insert()', filled);
        EXECUTE format('CREATE TRIGGER end_insert AFTER INSERT ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION modelopt_private.end_insert()', filled);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER end_insert', filled);
    END LOOP;
END
$$;

-- The owner of the extension, who may be no superuser, dumps and restores it.
GRANT USAGE ON SCHEMA modelopt_private TO @extowner@;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA modelopt_private TO @extowner@;
GRANT SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA modelopt_private TO @extowner@;

-- Functions of the repository run with a search_path of their own, see gate.c;
-- here it is for their declarations.
SET LOCAL search_path TO @extschema@, modelopt_private;
