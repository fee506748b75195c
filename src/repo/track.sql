-- Tables whose models have a history: each change of a row's model is a version
-- of a model of its own, in the same transaction.
--
-- What is tracked is said by the table's triggers and nowhere else:
--
--   00_modelopt_track_row    after each change of a row, of which none is left
--                            out; partitions get it from their table
--   00_modelopt_track_table  after TRUNCATE.  It is also "UPDATE OF" the model's
--                            column, the key's and the message's, in this
--                            order: so the server itself keeps track of what
--                            they are called, refuses to drop them, and dumps
--                            them.
--
-- Triggers of a row fire in the order of their names, and the digits come
-- before what people call theirs.
--
-- A trigger acts for the table's owner, who owns the models; the author of a
-- version is who changed the row.

-- ---------- which tables ----------

-- Tracked tables: all, or those among some.  Triggers that somebody made by hand
-- may have any arguments, and must not keep others from seeing theirs.
CREATE FUNCTION modelopt_private.trackings(wanted oid[] DEFAULT NULL)
    RETURNS TABLE (relation regclass, prefix text, column_name name, key_columns name[], message_column name, enabled boolean)
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN QUERY
    SELECT t.tgrelid::regclass, arguments.prefix, columns.names[1], columns.names[2:key.columns + 1],
        columns.names[key.columns + 2], t.tgenabled <> 'D'
    FROM (SELECT * FROM pg_trigger g
          WHERE g.tgfoid = 'modelopt.track_table()'::regprocedure AND cardinality(g.tgattr::int2[]) > 1 AND g.tgnargs = 2
              AND (wanted IS NULL OR g.tgrelid = ANY (wanted)) OFFSET 0) t,
        LATERAL (SELECT position('\x00' IN t.tgargs) AS first_end) ends,
        LATERAL (SELECT convert_from(substr(t.tgargs, 1, ends.first_end - 1), getdatabaseencoding()) AS prefix,
                     convert_from(trim('\x00' FROM substr(t.tgargs, ends.first_end + 1)), getdatabaseencoding()) AS keys) arguments,
        LATERAL (SELECT CASE WHEN arguments.keys ~ '^[1-9][0-9]?$' THEN arguments.keys::integer END AS columns) key,
        LATERAL (SELECT array_agg(a.attname ORDER BY n.number) AS names
                 FROM unnest(t.tgattr::int2[]) WITH ORDINALITY n (attnum, number)
                     JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = n.attnum) columns
    WHERE key.columns < cardinality(columns.names);
END
$$;
COMMENT ON FUNCTION modelopt_private.trackings(oid[]) IS
    'tracked tables, all or those among some: the rows of the view modelopt.tracked';

CREATE FUNCTION modelopt_private.check_tracked(wanted regclass) RETURNS record
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    found_tracking record;
BEGIN
    SELECT * INTO found_tracking FROM trackings(ARRAY[wanted::oid]);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table "%" is not tracked', wanted
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'modelopt.track() makes the models of a column versioned; the view modelopt.tracked lists where it did.';
    END IF;
    RETURN found_tracking;
END
$$;

CREATE FUNCTION modelopt_private.check_table_owner(relation regclass) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    IF NOT pg_has_role(caller()::name, (SELECT c.relowner FROM pg_class c WHERE c.oid = relation), 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table %', relation USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

-- ---------- names ----------

-- Text as a part of a model's name: what has a meaning there, and spaces, is
-- written as in URLs.
CREATE FUNCTION modelopt_private.encode_name(part text, others text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT coalesce(string_agg(CASE
        WHEN c ~ '[%#@:~/!,\s[:cntrl:]]' OR strpos(others, c) > 0
        THEN regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '..', '%\&', 'g')
        ELSE c END, '' ORDER BY number), '')
    FROM regexp_split_to_table(part, '') WITH ORDINALITY s (c, number)
    WHERE part <> ''
$$;

-- schema.table
CREATE FUNCTION modelopt_private.table_prefix(relation regclass) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT modelopt_private.encode_name(n.nspname, '.') || '.' || modelopt_private.encode_name(c.relname, '.')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = relation
$$;

-- prefix.key or prefix.key,key; different keys have different names.
CREATE FUNCTION modelopt_private.row_name(prefix text, key text[]) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN length(name) <= 180 THEN name
        ELSE left(name, 140) || '!' || left(encode(sha256(convert_to(name, 'UTF8')), 'hex'), 32) END
    FROM (SELECT prefix || '.' || string_agg(modelopt_private.encode_name(k, ''), ',' ORDER BY number) AS name
          FROM unnest(key) WITH ORDINALITY u (k, number)) n
$$;

-- That name, or the first of name!1, name!2, ... that nobody has but, if it
-- may be adopted, a model of the table's owner that follows no row.  That of
-- anybody else is not: it would show them what the table has.
CREATE FUNCTION modelopt_private.free_name(name text, adopt boolean) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    candidate text := name;
    number integer := 0;
BEGIN
    WHILE EXISTS (
        SELECT FROM named_model m
        WHERE m.name = candidate AND NOT (adopt AND m.owner = authority()
            AND NOT EXISTS (SELECT FROM tracked_row r WHERE r.model_id = m.id)))
    LOOP
        number := number + 1;
        candidate := free_name.name || '!' || number;
    END LOOP;
    RETURN candidate;
END
$$;

-- ---------- keys ----------

-- The columns of a key by their names with commas between, or of the primary
-- key.
CREATE FUNCTION modelopt_private.parse_key(relation regclass, key text) RETURNS name[]
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    IF key IS NOT NULL THEN
        RETURN ARRAY(SELECT trim(part) FROM regexp_split_to_table(key, ',') part);
    END IF;
    RETURN ARRAY(
        SELECT a.attname
        FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, number), pg_attribute a
        WHERE i.indrelid = relation AND i.indisprimary AND k.number <= i.indnkeyatts
            AND a.attrelid = relation AND a.attnum = k.attnum
        ORDER BY k.number);
END
$$;

-- How the key's columns are compared: the type without domains, whose checks
-- are somebody's functions, and the equality of the unique index.
CREATE FUNCTION modelopt_private.key_types(relation regclass, key_columns name[])
    RETURNS TABLE (number bigint, column_name name, type_name text, equals text, problem text)
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE wanted AS (
        SELECT w.number, w.name, a.attnum, a.atttypid, a.attnotnull
        FROM unnest(key_columns) WITH ORDINALITY w (name, number)
            LEFT JOIN pg_attribute a ON a.attrelid = relation AND a.attname = w.name AND a.attnum > 0 AND NOT a.attisdropped
    ), base (number, type_id) AS (
        SELECT w.number, w.atttypid FROM wanted w
        UNION ALL
        SELECT b.number, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.type_id WHERE t.typtype = 'd'
    ), unique_index AS (
        SELECT i.indexrelid, i.indkey::int2[] AS columns, i.indclass::oid[] AS classes
        FROM pg_index i
        WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
            AND i.indexprs IS NULL AND i.indnkeyatts = cardinality(key_columns)
            AND (SELECT array_agg(k ORDER BY k) FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) k)
                = (SELECT array_agg(w.attnum ORDER BY w.attnum) FROM wanted w)
        ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1
    )
    SELECT w.number, w.name, format_type(t.oid, NULL), found_operator.name, CASE
        WHEN w.attnum IS NULL THEN format('There is no column "%s".', w.name)
        WHEN u.indexrelid IS NULL THEN 'A primary key or a unique index over exactly these columns is needed, which is neither partial nor deferrable.'
        WHEN NOT w.attnotnull THEN format('Column "%s" may be null.', w.name)
        WHEN t.typtype NOT IN ('b', 'e') OR t.typcategory = 'A' OR found_operator.name IS NULL
        THEN format('Column "%s" has type %s; scalar types and enums can be keys.', w.name, format_type(w.atttypid, NULL)) END
    FROM wanted w
        LEFT JOIN base b ON b.number = w.number AND NOT EXISTS (SELECT FROM pg_type d WHERE d.oid = b.type_id AND d.typtype = 'd')
        LEFT JOIN pg_type t ON t.oid = b.type_id
        LEFT JOIN unique_index u ON true
        LEFT JOIN LATERAL (
            SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname) AS name
            FROM pg_opclass c
                JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3
                    AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
                JOIN pg_operator o ON o.oid = m.amopopr
                JOIN pg_namespace n ON n.oid = o.oprnamespace
            WHERE c.oid = u.classes[array_position(u.columns, w.attnum)]) found_operator ON true
    ORDER BY w.number;
END
$$;

-- Raises when these columns do not say for good which row is meant.
CREATE FUNCTION modelopt_private.check_key(relation regclass, key_columns name[]) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    found_problem text := (SELECT min(k.problem) FROM key_types(relation, key_columns) k);
BEGIN
    IF cardinality(key_columns) = 0 THEN
        found_problem := 'It has no primary key.';
    ELSIF found_problem IS NULL AND cardinality(key_columns) > (SELECT count(DISTINCT k) FROM unnest(key_columns) k) THEN
        found_problem := 'A column comes twice.';
    END IF;
    IF found_problem IS NOT NULL THEN
        RAISE EXCEPTION 'rows of table "%" cannot be told apart by key (%)', relation, array_to_string(key_columns, ', ')
            USING ERRCODE = 'invalid_parameter_value', DETAIL = found_problem,
                HINT = 'Give the columns of the key as key => ''id'' or key => ''region, id''.';
    END IF;
END
$$;

-- The condition for the row with a key, as SQL; without one, for a key that is
-- the parameter $1.
CREATE FUNCTION modelopt_private.key_condition(relation regclass, key_columns name[], key text[]) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT string_agg(format('%I %s %s::%s', k.column_name, k.equals, coalesce(quote_literal(key[k.number]), format('($1)[%s]', k.number)),
        k.type_name), ' AND ' ORDER BY k.number)
    FROM modelopt_private.key_types(relation, key_columns) k
$$;

-- The key of a row as text, as an SQL expression: what types' own output
-- functions make of it, since casts may be anybody's.
CREATE FUNCTION modelopt_private.key_expression(key_columns name[]) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT 'ARRAY[' || string_agg(format('format(''%%s'', %I)', k), ', ' ORDER BY n) || ']' FROM unnest(key_columns) WITH ORDINALITY u (k, n) $$;

-- What a row's rows are selected from; children by inheritance are tables of
-- their own.
CREATE FUNCTION modelopt_private.only_rows(relation regclass) RETURNS text
    LANGUAGE sql STABLE
    AS $$ SELECT CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END || relation FROM pg_class c WHERE c.oid = relation $$;

-- The tracked table that a trigger with that prefix is on, or on a partition of;
-- lookup is the query for a row's place and content by its key.
CREATE FUNCTION modelopt_private.find_tracking(trigger_table oid, wanted_prefix text,
    OUT relation regclass, OUT prefix text, OUT column_name name, OUT key_columns name[], OUT message_column name,
    OUT lookup text)
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    SELECT t.relation, t.prefix, t.column_name, t.key_columns, t.message_column
    INTO relation, prefix, column_name, key_columns, message_column
    FROM trackings(ARRAY(SELECT relid::oid FROM pg_partition_ancestors(trigger_table)) || trigger_table) t
    WHERE t.prefix = wanted_prefix;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'models of table "%" are tracked no longer', trigger_table::regclass
            USING ERRCODE = 'object_not_in_prerequisite_state',
                DETAIL = 'A column that their versions come from was dropped, or a trigger.',
                HINT = format('modelopt.untrack(%L) takes what is left of it away.', trigger_table::regclass);
    END IF;
    lookup := format('SELECT tableoid, ctid, @extschema@.model_digest(%I) AS content FROM %s WHERE %s', column_name,
        only_rows(relation), key_condition(relation, key_columns, NULL));
END
$$;

-- ---------- one row's model ----------

-- It belongs to the table's owner, whatever others have under that prefix: they
-- may have named it before the table was tracked, or in triggers of their own.
CREATE FUNCTION modelopt_private.followed_model(wanted_prefix text, wanted_key text[],
    table_owner text DEFAULT modelopt_private.authority()) RETURNS modelopt_private.named_model
    LANGUAGE sql STABLE
    AS $$
    SELECT m FROM modelopt_private.tracked_row r JOIN modelopt_private.named_model m ON m.id = r.model_id
    WHERE r.prefix = wanted_prefix AND r.key = wanted_key AND m.owner = table_owner
    ORDER BY m.id LIMIT 1
$$;

-- The model for a row that has none yet.
CREATE FUNCTION modelopt_private.follow_new_row(wanted_prefix text, wanted_key text[]) RETURNS modelopt_private.named_model
    LANGUAGE plpgsql
    AS $$
DECLARE
    wanted_name text := free_name(row_name(wanted_prefix, wanted_key), true);
    target modelopt_private.named_model;
BEGIN
    SELECT * INTO target FROM named_model m WHERE m.name = wanted_name;
    IF NOT FOUND THEN
        target := create_model(wanted_name);
    END IF;
    INSERT INTO tracked_row (model_id, prefix, key) VALUES (target.id, wanted_prefix, wanted_key);
    RETURN target;
END
$$;

-- A row's key has changed, and its model goes along.  That of a row which had
-- the key before, and is gone, follows none from now on.
CREATE FUNCTION modelopt_private.follow_key(wanted_prefix text, old_key text[], new_key text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    moved modelopt_private.named_model := followed_model(wanted_prefix, old_key);
    earlier modelopt_private.named_model := followed_model(wanted_prefix, new_key);
BEGIN
    IF moved.id IS NULL THEN
        RETURN;
    END IF;
    IF earlier.id IS NOT NULL THEN
        PERFORM rename(earlier.name, free_name(earlier.name, false));
        DELETE FROM tracked_row WHERE model_id = earlier.id;
    END IF;
    PERFORM rename(moved.name, free_name(row_name(wanted_prefix, new_key), false));
    UPDATE tracked_row SET key = new_key WHERE model_id = moved.id;
END
$$;

-- A row that is gone, or whose model is null: the branch goes, so that
-- references say what the table says, and the alias "deleted" keeps what was.
CREATE FUNCTION modelopt_private.record_deletion(target modelopt_private.named_model, head bigint, reason text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM lock_model(target.name, 'write');
    PERFORM move_ref(target, 'alias', 'deleted', head, 'row deleted', reason);
    PERFORM move_ref(target, 'branch', target.default_branch, NULL, 'row deleted', reason);
END
$$;

CREATE FUNCTION modelopt_private.record_model(target modelopt_private.named_model, head bigint, m model, message text, tags jsonb)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    last_one bigint := ref_target(target.id, 'alias', 'deleted');
BEGIN
    PERFORM lock_model(target.name, 'write');
    IF head IS NULL AND last_one IS NOT NULL THEN
        PERFORM move_ref(target, 'branch', target.default_branch, last_one, 'row is back', message);
        PERFORM move_ref(target, 'alias', 'deleted', NULL, 'row is back', message);
    END IF;
    IF content_of(coalesce(head, last_one)) IS DISTINCT FROM @extschema@.model_digest(m) THEN
        PERFORM commit(target.name, m, message, tags => tags);
    END IF;
END
$$;

-- The digest of a version's model, as model_digest() writes it.
CREATE FUNCTION modelopt_private.content_of(wanted bigint) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT encode(t.model_digest, 'hex')
    FROM modelopt_private.version v JOIN modelopt_private.tree t ON t.id = v.tree_id
    WHERE v.id = wanted
$$;

-- Makes a row's model what the row has now, or null.
CREATE FUNCTION modelopt_private.record_state(wanted_prefix text, key text[], state model, message text, tags jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := followed_model(wanted_prefix, key);
    head bigint := head_of(target);
BEGIN
    IF state IS NOT NULL AND target.id IS NULL THEN
        target := follow_new_row(wanted_prefix, key);
        head := head_of(target);
    END IF;
    IF state IS NOT NULL THEN
        PERFORM record_model(target, head, state, message, tags);
    ELSIF head IS NOT NULL THEN
        PERFORM record_deletion(target, head, message);
    END IF;
END
$$;

-- ---------- triggers ----------

-- What the row trigger found, and where the row was then.  Two things can have
-- happened before this is called: another trigger, called for another row of
-- the same statement, changed this row further, so that those changes were
-- recorded first, and this one as what was found before them; or the row was
-- changed while our trigger was disabled.
CREATE FUNCTION modelopt_private.record_change(relation regclass, prefix text, lookup text, operation text,
    old_key text[], old_model model, new_key text[], new_model model, message text,
    new_table oid, new_place tid) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    key text[] := coalesce(new_key, old_key);
    tags jsonb := jsonb_build_object('table', table_prefix(relation), 'operation', operation, 'key', key);
    recorded text;
    present record;
BEGIN
    PERFORM act_for(relation);
    IF old_key <> new_key THEN
        PERFORM follow_key(prefix, old_key, new_key);
    END IF;
    recorded := content_of(head_of(followed_model(prefix, key)));
    EXECUTE lookup INTO present USING key;
    IF (present.tableoid, present.ctid) IS DISTINCT FROM (new_table, new_place)
        AND (present.content IS DISTINCT FROM @extschema@.model_digest(new_model) OR present.content IS NOT DISTINCT FROM recorded) THEN
        RETURN;
    END IF;
    IF recorded IS DISTINCT FROM @extschema@.model_digest(old_model) THEN
        PERFORM record_state(prefix, key, old_model, 'row as found', tags || '{"operation": "found"}');
    END IF;
    PERFORM record_state(prefix, key, new_model, coalesce(nullif(message, ''), 'row ' || operation), tags);
END
$$;

-- Keys are written the same in every session.
CREATE FUNCTION modelopt_private.track_row() RETURNS trigger
    LANGUAGE C
    SET datestyle TO 'ISO, YMD' SET intervalstyle TO 'postgres' SET timezone TO 'UTC' SET extra_float_digits TO 1
    SET bytea_output TO 'hex'
    AS 'MODULE_PATHNAME', 'modelopt_track_row';
COMMENT ON FUNCTION modelopt_private.track_row() IS
    'trigger of tracked tables, set by modelopt.track(): makes each change of a row''s model a version';

-- Records that rows are gone, of which no trigger was told.
CREATE FUNCTION modelopt_private.record_missing(relation regclass, prefix text, key_columns name[], reason text) RETURNS void
    LANGUAGE plpgsql
    SET datestyle TO 'ISO, YMD' SET intervalstyle TO 'postgres' SET timezone TO 'UTC' SET extra_float_digits TO 1
    SET bytea_output TO 'hex'
    AS $$
DECLARE
    gone record;
BEGIN
    FOR gone IN EXECUTE format(
        'SELECT m, head_of(m) AS head FROM tracked_row r JOIN named_model m ON m.id = r.model_id '
        'WHERE r.prefix = $1 AND m.owner = authority() AND head_of(m) IS NOT NULL '
        'AND NOT EXISTS (SELECT FROM %s t WHERE %s = r.key) ORDER BY r.key', only_rows(relation), key_expression(key_columns))
        USING prefix
    LOOP
        PERFORM record_deletion(gone.m, gone.head, reason);
    END LOOP;
END
$$;

CREATE FUNCTION modelopt_private.track_table() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    tracking record;
BEGIN
    -- A partition that was detached keeps its trigger, but not that of its rows.
    IF TG_OP = 'TRUNCATE' AND EXISTS (SELECT FROM pg_trigger t
        WHERE t.tgrelid = TG_RELID AND t.tgfoid = 'modelopt.track_row()'::regprocedure) THEN
        tracking := find_tracking(TG_RELID, TG_ARGV[0]);
        PERFORM act_for(tracking.relation);
        PERFORM record_missing(tracking.relation, tracking.prefix, tracking.key_columns, 'table truncated');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION modelopt_private.track_table() IS
    'trigger of tracked tables, set by modelopt.track(): records that TRUNCATE deleted rows; its columns are the model''s, the key''s and the message''s';

-- ---------- tracking ----------

CREATE FUNCTION modelopt_private.check_trackable(relation regclass, column_name name, message_column name) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    found_table pg_class;
    found_type oid := (SELECT a.atttypid FROM pg_attribute a
        WHERE a.attrelid = relation AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped);
BEGIN
    SELECT * INTO found_table FROM pg_class c WHERE c.oid = relation;
    IF found_table.relkind NOT IN ('r', 'p') OR found_table.relpersistence = 't' OR found_table.relispartition THEN
        RAISE EXCEPTION 'models of "%" cannot be tracked', relation
            USING ERRCODE = 'wrong_object_type', DETAIL = CASE
                WHEN found_table.relispartition THEN 'It is a partition; its whole table can be tracked.'
                ELSE 'Tables that are not temporary can be tracked, partitioned or not.' END;
    END IF;
    IF found_type IS NULL THEN
        RAISE EXCEPTION 'column "%" of table "%" does not exist', column_name, relation USING ERRCODE = 'undefined_column';
    END IF;
    IF found_type <> '@extschema@.model'::regtype THEN
        RAISE EXCEPTION 'column "%" of table "%" has type %, not model', column_name, relation, format_type(found_type, NULL)
            USING ERRCODE = 'datatype_mismatch';
    END IF;
    IF message_column IS NOT NULL AND NOT EXISTS (SELECT FROM pg_attribute a
        WHERE a.attrelid = relation AND a.attname = message_column AND a.attnum > 0 AND NOT a.attisdropped) THEN
        RAISE EXCEPTION 'column "%" of table "%" does not exist', message_column, relation USING ERRCODE = 'undefined_column';
    END IF;
END
$$;

CREATE FUNCTION modelopt_private.create_triggers(relation regclass, prefix text, columns name[], keys integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER "00_modelopt_track_table" AFTER UPDATE OF %s OR TRUNCATE ON %s '
        'FOR EACH STATEMENT EXECUTE FUNCTION modelopt.track_table(%L, %L)',
        (SELECT string_agg(quote_ident(c), ', ' ORDER BY n) FROM unnest(columns) WITH ORDINALITY u (c, n)), relation, prefix, keys);
    EXECUTE format('CREATE TRIGGER "00_modelopt_track_row" AFTER INSERT OR UPDATE OR DELETE ON %s '
        'FOR EACH ROW EXECUTE FUNCTION modelopt.track_row(%L)', relation, prefix);
END
$$;

-- Partitions do not get triggers of statements from their table, and may be
-- truncated by themselves.
CREATE FUNCTION modelopt_private.create_partition_triggers(relation regclass, prefix text) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    part regclass;
BEGIN
    FOR part IN
        SELECT p.relid FROM pg_partition_tree(relation) p JOIN pg_class c ON c.oid = p.relid AND c.relkind IN ('r', 'p')
        WHERE p.relid <> relation AND NOT EXISTS (SELECT FROM pg_trigger t
            WHERE t.tgrelid = p.relid AND t.tgfoid = 'modelopt.track_table()'::regprocedure)
    LOOP
        EXECUTE format('CREATE TRIGGER "00_modelopt_track_table" AFTER TRUNCATE ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION modelopt.track_table(%L)', part, prefix);
    END LOOP;
END
$$;

-- Brings the models up to date with the rows that are there.
CREATE FUNCTION modelopt_private.record_rows(relation regclass, prefix text, column_name name, key_columns name[]) RETURNS bigint
    LANGUAGE plpgsql
    SET datestyle TO 'ISO, YMD' SET intervalstyle TO 'postgres' SET timezone TO 'UTC' SET extra_float_digits TO 1
    SET bytea_output TO 'hex'
    AS $$
DECLARE
    key text[];
    m @extschema@.model;
    recorded bigint := 0;
BEGIN
    FOR key, m IN EXECUTE format('SELECT %s, %I FROM %s ORDER BY 1', key_expression(key_columns), column_name, only_rows(relation)) LOOP
        IF content_of(head_of(followed_model(prefix, key))) IS DISTINCT FROM @extschema@.model_digest(m) THEN
            PERFORM record_state(prefix, key, m, 'row as found',
                jsonb_build_object('table', table_prefix(relation), 'operation', 'found', 'key', key));
            recorded := recorded + 1;
        END IF;
    END LOOP;
    PERFORM record_missing(relation, prefix, key_columns, 'row not found');
    RETURN recorded;
END
$$;

-- The prefix that a table's models get; two tables of one owner do not share it.
CREATE FUNCTION modelopt_private.check_prefix(wanted text, relation regclass) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    found_prefix text := check_name(coalesce(wanted, table_prefix(relation)), 'model');
    other regclass := (SELECT t.relation FROM trackings() t JOIN pg_class c ON c.oid = t.relation
        WHERE t.prefix = found_prefix AND t.relation <> check_prefix.relation
            AND c.relowner = (SELECT own.relowner FROM pg_class own WHERE own.oid = check_prefix.relation) LIMIT 1);
BEGIN
    IF other IS NOT NULL THEN
        RAISE EXCEPTION 'models of table "%" have names that start with "%" already', other, found_prefix
            USING ERRCODE = 'duplicate_object', HINT = 'Give other names: prefix => ''...''.';
    END IF;
    RETURN found_prefix;
END
$$;

CREATE FUNCTION modelopt_private.track(relation regclass, column_name name, key text DEFAULT NULL, message_column name DEFAULT NULL,
    prefix text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    key_columns name[];
    tracking record;
BEGIN
    IF relation IS NULL OR column_name IS NULL THEN
        RAISE EXCEPTION 'table and column to be tracked must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM check_table_owner(relation);
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
    PERFORM check_trackable(relation, column_name, message_column);
    key_columns := parse_key(relation, key);
    PERFORM check_key(relation, key_columns);
    SELECT * INTO tracking FROM trackings(ARRAY[relation::oid]);
    prefix := check_prefix(coalesce(prefix, tracking.prefix), relation);

    PERFORM act_for(relation);
    IF NOT may_create() THEN
        RAISE EXCEPTION 'permission denied to create models of table "%"', relation
            USING ERRCODE = 'insufficient_privilege',
                DETAIL = format('The table''s owner "%s" will own them, and may create none.', authority()),
                HINT = 'The owner of the extension may grant it with modelopt.grant_create().';
    END IF;
    IF tracking.relation IS NULL THEN
        PERFORM create_triggers(relation, prefix, column_name || key_columns || message_column, cardinality(key_columns));
    ELSIF (tracking.column_name, tracking.key_columns, tracking.message_column, tracking.prefix)
        IS DISTINCT FROM (column_name, key_columns, message_column, prefix) THEN
        RAISE EXCEPTION 'table "%" is tracked already', relation
            USING ERRCODE = 'duplicate_object',
                DETAIL = format('Its models are in column "%s", told apart by (%s), with names that start with "%s".',
                    tracking.column_name, array_to_string(tracking.key_columns, ', '), tracking.prefix),
                HINT = 'modelopt.untrack() ends that and keeps the history.';
    END IF;
    PERFORM create_partition_triggers(relation, prefix);
    PERFORM add_audit(0, '', 'track', jsonb_build_object('table', relation::text, 'column', column_name, 'key', key_columns,
        'prefix', prefix));
    RETURN record_rows(relation, prefix, column_name, key_columns);
END
$$;
COMMENT ON FUNCTION modelopt_private.track(regclass, name, text, name, text) IS
    'makes the models in a column of a table versioned, for the table''s owner: from now on each INSERT, UPDATE, DELETE and TRUNCATE that changes one commits in the same transaction, to a model named schema.table.key (or prefix.key) that the table''s owner owns. key: columns of a unique key, with commas between, or null for the primary key; message_column: what versions take their messages from. Returns how many rows were recorded as they are found. Again for a table that is tracked, it records rows that came or went with a partition, or while triggers were disabled';

CREATE FUNCTION modelopt_private.untrack(relation regclass) RETURNS bigint
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    prefixes text[];
    old_trigger record;
    kept bigint;
BEGIN
    PERFORM check_table_owner(relation);
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', relation);
    FOR old_trigger IN
        SELECT t.tgrelid::regclass AS relation, t.tgname, convert_from(substr(t.tgargs, 1, position('\x00' IN t.tgargs) - 1), getdatabaseencoding()) AS prefix
        FROM pg_trigger t
        WHERE t.tgfoid IN ('modelopt.track_row()'::regprocedure, 'modelopt.track_table()'::regprocedure) AND t.tgparentid = 0
            AND t.tgrelid IN (SELECT untrack.relation UNION ALL SELECT p.relid FROM pg_partition_tree(untrack.relation) p)
    LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', old_trigger.tgname, old_trigger.relation);
        prefixes := prefixes || old_trigger.prefix;
    END LOOP;
    IF prefixes IS NULL THEN
        PERFORM check_tracked(relation);
    END IF;
    PERFORM act_for(relation);
    DELETE FROM tracked_row r USING named_model m
    WHERE r.prefix = ANY (prefixes) AND m.id = r.model_id AND m.owner = authority();
    GET DIAGNOSTICS kept = ROW_COUNT;
    PERFORM add_audit(0, '', 'untrack', jsonb_build_object('table', relation::text, 'prefix', prefixes[1], 'models', kept));
    RETURN kept;
END
$$;
COMMENT ON FUNCTION modelopt_private.untrack(regclass) IS
    'ends the tracking of a table, for its owner; the models, with all their versions, stay and can be committed to like any other; returns how many. Tracking the table again goes on with them';

-- The branch of a model that follows a row is the row's, as long as the table
-- has its triggers.
CREATE FUNCTION modelopt_private.check_follows_row(target modelopt_private.named_model, ref_kind text, ref_name text) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    followed modelopt_private.tracked_row;
    found_table regclass;
BEGIN
    IF ref_kind <> 'branch' OR ref_name <> target.default_branch OR acting_table() IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT * INTO followed FROM tracked_row r WHERE r.model_id = target.id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT t.relation INTO found_table
    FROM trackings() t JOIN pg_class c ON c.oid = t.relation
    WHERE t.prefix = followed.prefix AND t.enabled AND pg_get_userbyid(c.relowner) = target.owner;
    IF FOUND THEN
        RAISE EXCEPTION 'branch "%" of model "%" follows a row of table "%"', ref_name, target.name, found_table
            USING ERRCODE = 'object_in_use',
                DETAIL = 'Its versions are what the row was, and are made by changes of the row.',
                HINT = 'Update the row, for instance with modelopt.restore_row(), or commit to another branch.';
    END IF;
END
$$;

-- ---------- restoring ----------

-- The key as an object of its columns, from an object, an array in their order,
-- text that is one of these, or, for one column, its value; else null.
CREATE FUNCTION modelopt_private.key_object(key jsonb, key_columns name[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    AS $$
DECLARE
    given jsonb := key;
BEGIN
    IF cardinality(key_columns) > 1 AND jsonb_typeof(key) = 'string' THEN
        BEGIN
            given := (key #>> '{}')::jsonb;
        EXCEPTION WHEN invalid_text_representation THEN
            RETURN NULL;
        END;
    END IF;
    RETURN CASE
        WHEN jsonb_typeof(given) = 'object' THEN given
        WHEN jsonb_typeof(given) = 'array' THEN CASE WHEN jsonb_array_length(given) = cardinality(key_columns) THEN (
            SELECT jsonb_object_agg(k.name, given -> k.number::integer - 1)
            FROM unnest(key_columns) WITH ORDINALITY k (name, number)) END
        WHEN cardinality(key_columns) = 1 THEN jsonb_build_object(key_columns[1], given) END;
END
$$;

-- Raises for a key that no row has a history of; its row may have another one now.
CREATE FUNCTION modelopt_private.report_no_row(relation regclass, wanted_prefix text, wanted_key text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    moved text[] := (
        SELECT r.key
        FROM tracked_row r JOIN audit a ON a.model_id = r.model_id
        WHERE r.prefix = wanted_prefix AND may(r.model_id, 'usage')
            AND a.operation = 'rename' AND a.details ->> 'before' = row_name(wanted_prefix, wanted_key)
        ORDER BY a.at DESC LIMIT 1);
BEGIN
    RAISE EXCEPTION 'table "%" has no model with key (%)', relation, array_to_string(wanted_key, ', ')
        USING ERRCODE = 'undefined_object',
            HINT = CASE WHEN moved IS NULL THEN 'The view modelopt.tracked_rows lists the keys that there are.'
                ELSE format('The row that had it has the key (%s) now.', array_to_string(moved, ', ')) END;
END
$$;

CREATE FUNCTION modelopt_private.tracked_row(relation regclass, key jsonb, OUT model text, OUT condition text,
    OUT insert_start text)
    LANGUAGE plpgsql STABLE STRICT
    SET datestyle TO 'ISO, YMD' SET intervalstyle TO 'postgres' SET timezone TO 'UTC' SET extra_float_digits TO 1
    SET bytea_output TO 'hex'
    AS $$
DECLARE
    tracking record := check_tracked(relation);
    given jsonb := key_object(key, tracking.key_columns);
    canonical text[];
    target modelopt_private.named_model;
BEGIN
    IF given IS NULL OR ARRAY(SELECT k FROM jsonb_object_keys(given) k ORDER BY k) <> ARRAY(SELECT k::text FROM unnest(tracking.key_columns) k ORDER BY k::text) THEN
        RAISE EXCEPTION 'key of table "%" is (%)', relation, array_to_string(tracking.key_columns, ', ')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = format(CASE cardinality(tracking.key_columns) WHEN 1 THEN 'Give the value, or the JSON object {%s}.'
                    ELSE 'Give the JSON object {%s}, or an array of the values in this order.' END,
                    (SELECT string_agg(format('%s: ...', to_json(k)), ', ' ORDER BY n)
                     FROM unnest(tracking.key_columns) WITH ORDINALITY u (k, n)));
    END IF;
    EXECUTE (SELECT 'SELECT ARRAY[' || string_agg(format('format(''%%s'', %L::%s)', given ->> k.column_name::text, k.type_name), ', ' ORDER BY k.number) || ']'
             FROM key_types(relation, tracking.key_columns) k) INTO canonical;
    target := followed_model(tracking.prefix, canonical,
        (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = relation));
    IF target.id IS NULL THEN
        PERFORM report_no_row(relation, tracking.prefix, canonical);
    END IF;
    PERFORM require(target.id, 'usage');
    model := target.name;
    condition := key_condition(relation, tracking.key_columns, canonical);
    insert_start := format('INSERT INTO %s (%s, %I) %sVALUES (%s, ', relation,
        (SELECT string_agg(quote_ident(k), ', ' ORDER BY n) FROM unnest(tracking.key_columns) WITH ORDINALITY u (k, n)),
        tracking.column_name,
        CASE WHEN EXISTS (SELECT FROM pg_attribute a
            WHERE a.attrelid = relation AND a.attname = ANY (tracking.key_columns) AND a.attidentity = 'a') THEN 'OVERRIDING SYSTEM VALUE ' ELSE '' END,
        (SELECT string_agg(quote_literal(k), ', ' ORDER BY n) FROM unnest(canonical) WITH ORDINALITY u (k, n)));
END
$$;
COMMENT ON FUNCTION modelopt_private.tracked_row(regclass, jsonb) IS
    'of a row of a tracked table: the model that has its history, the SQL condition that finds it, and how an INSERT of it starts, up to the model. key: a JSON object with the columns of the key, an array of their values, or, for one column, its value';

-- This one is no gate: it runs as who calls it, with that role's search_path,
-- and so do the table's triggers.
-- The setting is as before when the function ends.
CREATE FUNCTION modelopt.restore_row(relation regclass, key jsonb, version integer) RETURNS text
    LANGUAGE plpgsql STRICT
    SET modelopt.row_message TO ''
    AS $$
DECLARE
    found_row pg_catalog.record := modelopt.tracked_row(relation, key);
    changed bigint;
BEGIN
    PERFORM pg_catalog.set_config('modelopt.row_message', pg_catalog.format('restored version %s', version), true);
    EXECUTE pg_catalog.format('UPDATE %s SET %I = $1 WHERE %s', relation,
            (SELECT t.column_name FROM modelopt.tracked t WHERE t.relation OPERATOR(pg_catalog.=) restore_row.relation), found_row.condition)
        USING modelopt.get(pg_catalog.format('%s#%s', found_row.model, version));
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed OPERATOR(pg_catalog.=) 0 THEN
        RAISE EXCEPTION 'table "%" has no row that can be restored with key %', relation, key
            USING ERRCODE = 'no_data_found',
                DETAIL = 'It was deleted, or the current role may not update it.',
                HINT = pg_catalog.format('If it was deleted, this makes it anew: %smodelopt.get(%L)).', found_row.insert_start,
                    pg_catalog.format('%s#%s', found_row.model, version));
    END IF;
    RETURN modelopt.resolve(found_row.model);
END
$$;
COMMENT ON FUNCTION modelopt.restore_row(regclass, jsonb, integer) IS
    'puts an earlier version of a row of a tracked table back with an UPDATE, as the current role, which is a new version with the message "restored version N"; returns it as name#number. key: see modelopt.tracked_row()';

CREATE FUNCTION modelopt.restore_row(relation regclass, key text, version integer) RETURNS text
    LANGUAGE sql STRICT
    AS $$ SELECT modelopt.restore_row(relation, pg_catalog.to_jsonb(key), version) $$;
COMMENT ON FUNCTION modelopt.restore_row(regclass, text, integer) IS
    'the same, with the key as text: its value, if it is one column, or else the JSON object or array';

CREATE FUNCTION modelopt.restore_row(relation regclass, key bigint, version integer) RETURNS text
    LANGUAGE sql STRICT
    AS $$ SELECT modelopt.restore_row(relation, pg_catalog.to_jsonb(key), version) $$;
COMMENT ON FUNCTION modelopt.restore_row(regclass, bigint, integer) IS
    'the same, with a number as the key';
