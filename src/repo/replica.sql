-- What a copy of the repository needs that rows alone do not bring.

-- A sequence is called as the table that it numbers, and _id.
CREATE FUNCTION modelopt_private.sync_sequences() RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    sequence record;
    moved bigint;
    changed integer := 0;
BEGIN
    PERFORM require_owner_of_all();
    FOR sequence IN
        SELECT c.oid::regclass AS name, t.oid::regclass AS numbered
        FROM pg_class c
            JOIN pg_class t ON t.relnamespace = c.relnamespace AND t.relkind = 'r'
                AND t.relname = regexp_replace(c.relname, '_id(_seq)?$', '')
        WHERE c.relnamespace = 'modelopt_private'::regnamespace AND c.relkind = 'S'
    LOOP
        EXECUTE format('SELECT setval(%L, top) FROM (SELECT max(id) AS top FROM %s) t, %s s '
            'WHERE top > s.last_value OR (top = s.last_value AND NOT s.is_called)', sequence.name, sequence.numbered, sequence.name)
        INTO moved;
        changed := changed + (moved IS NOT NULL)::integer;
    END LOOP;
    PERFORM add_audit(0, '', 'sync sequences', jsonb_build_object('changed', changed));
    RETURN changed;
END
$$;
COMMENT ON FUNCTION modelopt_private.sync_sequences() IS
    'moves the sequences of the repository past the rows that there are, and returns how many were behind: before the first commit on a former subscriber of logical replication, which brings rows and no sequences; for the owner of the extension';
