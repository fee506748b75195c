-- Giving space back.
--
-- A version is never deleted here: its row, its number, its place in history
-- and its digest stay.  What it may lose is its content.  Its tree is then
-- forgotten: the entries go, and with them the objects that nothing else needs.
--
-- What keeps the content of a version:
--   - a branch, tag or alias that points to it;
--   - a branch, tag or alias that comes from it, in models without a retention
--     policy; in models with one, being among the last keep_last versions of a
--     branch, or younger than keep_for;
--   - being where branches of a model fork, the nearest version that some of them
--     have in common, without which they could not be merged;
--   - an alias that rollback or roll_forward can take there: any number of steps,
--     or with a policy as many as it keeps versions, but always one;
--   - being committed, or named by a move of a reference, within the grace (or
--     within keep_for, if that is longer).
--
-- Who needs what while gc works:
--   - a transaction that makes a reference point to a version, or a version of a
--     tree, locks the tree FOR KEY SHARE (lock_content, the foreign key of
--     version), one that makes a tree of objects, or an object of a base, locks
--     these so (find_objects, find_bases);
--   - gc locks FOR UPDATE what it wants to take, skips what is locked, and looks
--     again, by a new snapshot, whether it may be taken.
-- So either gc sees that somebody was there first, or the other one waits for
-- gc's end and then finds that there is no such object, and writes it anew, or
-- that the tree is forgotten, and fills it again or says that it is gone.  gc
-- itself waits, while it holds nothing, for the audit's chain 0: for another gc
-- and for what else adds to that chain (loads, track, keys), which then waits for
-- gc's end; and from then on for nobody.
-- Readers have a snapshot, by which rows that gc deleted are still there.

-- ---------- policies ----------

-- Versions whose content is kept, of all models; moves and commits since a time
-- count.
CREATE FUNCTION modelopt_private.kept_versions(since timestamptz) RETURNS SETOF bigint
    LANGUAGE sql STABLE
    AS $$
    WITH RECURSIVE
    model AS (
        SELECT m.id, m.keep_last, m.keep_last IS NULL AND m.keep_for IS NULL AS keeps_all,
            greatest(m.keep_last, 2) AS keep_places, least(since, clock_timestamp() - m.keep_for) AS since
        FROM modelopt_private.named_model m),
    reachable (id) AS (
        SELECT r.version_id FROM modelopt_private.ref r
        UNION
        SELECT p.parent_id
        FROM reachable JOIN modelopt_private.version_parent p ON p.version_id = reachable.id),
    latest (id, model_id, further) AS (
        SELECT r.version_id, r.model_id, m.keep_last - 1
        FROM modelopt_private.ref r JOIN model m ON m.id = r.model_id
        WHERE r.kind = 'branch' AND m.keep_last IS NOT NULL
        UNION
        SELECT v.id, v.model_id, latest.further - 1
        FROM latest
            JOIN modelopt_private.version_parent p ON p.version_id = latest.id AND p.number = 1
            JOIN modelopt_private.version v ON v.id = p.parent_id AND v.model_id = latest.model_id
        WHERE latest.further > 0),
    -- How many of a model's branches come from a version.  One whose child has
    -- as many is no fork: the child is nearer to all of them.
    shared (id, model_id, branches) AS MATERIALIZED (
        SELECT a.id, b.model_id, count(*)
        FROM (SELECT r.model_id, r.version_id, count(*) OVER (PARTITION BY r.model_id) AS branches
              FROM modelopt_private.ref r JOIN model m ON m.id = r.model_id
              WHERE r.kind = 'branch' AND NOT m.keeps_all) b,
            LATERAL modelopt_private.ancestors(b.version_id) a
        WHERE b.branches > 1
        GROUP BY a.id, b.model_id),
    place (id, model_id, further) AS (
        SELECT u.id, r.model_id, u.further
        FROM modelopt_private.ref r,
            LATERAL modelopt_private.ref_history(r.model_id, r.kind, r.name) h,
            LATERAL (
                SELECT d.id, cardinality(h.done) - d.number FROM unnest(h.done) WITH ORDINALITY d (id, number)
                UNION ALL
                SELECT d.id, cardinality(h.undone) - d.number FROM unnest(h.undone) WITH ORDINALITY d (id, number)) u (id, further)
        WHERE r.kind = 'alias')
    SELECT r.version_id FROM modelopt_private.ref r
    UNION
    SELECT v.id
    FROM reachable JOIN modelopt_private.version v ON v.id = reachable.id JOIN model m ON m.id = v.model_id
    WHERE m.keeps_all
    UNION
    SELECT latest.id FROM latest
    UNION
    SELECT s.id FROM shared s
    WHERE s.branches > 1 AND NOT EXISTS (
        SELECT FROM modelopt_private.version_parent p JOIN shared child ON child.id = p.version_id AND child.model_id = s.model_id
        WHERE p.parent_id = s.id AND child.branches = s.branches)
    UNION
    SELECT place.id FROM place JOIN model m ON m.id = place.model_id
    WHERE m.keeps_all OR place.further < m.keep_places
    UNION
    SELECT v.id FROM modelopt_private.version v JOIN model m ON m.id = v.model_id WHERE v.committed_at >= m.since
    UNION
    SELECT named.id
    FROM modelopt_private.reflog l JOIN model m ON m.id = l.model_id,
        LATERAL (VALUES (l.old_version_id), (l.new_version_id)) named (id)
    WHERE l.at >= m.since AND named.id IS NOT NULL
$$;

-- Trees with content that only versions have which are not kept.
CREATE FUNCTION modelopt_private.expired_trees(since timestamptz) RETURNS SETOF bigint
    LANGUAGE sql STABLE
    AS $$
    SELECT v.tree_id
    FROM modelopt_private.version v
        JOIN modelopt_private.tree t ON t.id = v.tree_id AND t.forgotten_at IS NULL
        LEFT JOIN modelopt_private.kept_versions(since) kept (id) ON kept.id = v.id
    GROUP BY v.tree_id
    HAVING count(kept.id) = 0
$$;

-- Trees that no version has: of models that were dropped, and of commits that
-- turned out to change nothing.
CREATE FUNCTION modelopt_private.unused_trees() RETURNS SETOF bigint
    LANGUAGE sql STABLE
    AS $$
    SELECT t.id FROM modelopt_private.tree t
    WHERE NOT EXISTS (SELECT FROM modelopt_private.version v WHERE v.tree_id = t.id)
$$;

-- The time so long ago; raises when that is none.
CREATE FUNCTION modelopt_private.time_before(since interval, what text) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    IF since < interval '0' THEN
        RAISE EXCEPTION '% must not be negative', what USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN clock_timestamp() - since;
END
$$;

CREATE FUNCTION modelopt_private.retention(model text, keep_last integer DEFAULT NULL, keep_for interval DEFAULT NULL)
    RETURNS SETOF integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(model, 'admin');
BEGIN
    IF keep_last < 1 THEN
        RAISE EXCEPTION 'keep_last must be 1 or more' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM time_before(keep_for, 'keep_for');
    UPDATE named_model m SET keep_last = retention.keep_last, keep_for = retention.keep_for WHERE m.id = target.id;
    PERFORM add_audit(target.id, target.name, 'retention', jsonb_build_object(
        'before', jsonb_build_object('keep_last', target.keep_last, 'keep_for', target.keep_for),
        'after', jsonb_build_object('keep_last', keep_last, 'keep_for', keep_for)));
    RETURN QUERY
    SELECT v.version
    FROM version v JOIN expired_trees(clock_timestamp()) e (id) ON e.id = v.tree_id
    WHERE v.model_id = target.id ORDER BY v.version;
END
$$;
COMMENT ON FUNCTION modelopt_private.retention(text, integer, interval) IS
    'sets which versions of a model keep their content: the last keep_last of each branch and those younger than keep_for, beside what branches, tags and aliases point to, where branches fork (which merging them takes) and the places where rollback can take an alias; with neither, all that a reference comes from. Returns the numbers of the versions whose content gc may take once its grace is over';

-- ---------- content that is gone ----------

CREATE FUNCTION modelopt_private.report_forgotten(wanted bigint, further_hint text DEFAULT '') RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
BEGIN
    RAISE EXCEPTION 'content of version "%" is gone', version_name(wanted)
        USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'No reference and no retention policy kept it, and gc freed its space.',
            HINT = 'Committing the same model again brings it back' || further_hint || '.';
END
$$;

-- Raises when the content of a version is gone.
CREATE FUNCTION modelopt_private.require_content(wanted bigint, further_hint text DEFAULT '') RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
BEGIN
    IF EXISTS (SELECT FROM version v JOIN tree t ON t.id = v.tree_id WHERE v.id = wanted AND t.forgotten_at IS NOT NULL) THEN
        PERFORM report_forgotten(wanted, further_hint);
    END IF;
END
$$;

-- The same, and locks the content until the transaction ends.
CREATE FUNCTION modelopt_private.lock_content(wanted bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM FROM version v JOIN tree t ON t.id = v.tree_id
    WHERE v.id = wanted AND t.forgotten_at IS NULL FOR KEY SHARE OF t;
    IF NOT FOUND THEN
        PERFORM report_forgotten(wanted);
    END IF;
END
$$;

-- ---------- what is garbage ----------

-- Of some objects, those that may go when some trees go: that no other tree has,
-- and that no object which stays is coded against.
CREATE FUNCTION modelopt_private.free_objects(candidates bigint[], dead_trees bigint[]) RETURNS bigint[]
    LANGUAGE sql STABLE
    AS $$
    WITH RECURSIVE
    candidate (id) AS (SELECT unnest(candidates)),
    dead (id) AS (SELECT unnest(dead_trees)),
    needed (id) AS (
        SELECT e.object_id FROM modelopt_private.tree_entry e
        WHERE NOT EXISTS (SELECT FROM dead WHERE dead.id = e.tree_id)
        UNION
        SELECT head.object_id
        FROM modelopt_private.tree t, LATERAL (VALUES (t.metadata_id), (t.graph_id)) head (object_id)
        WHERE head.object_id IS NOT NULL AND NOT EXISTS (SELECT FROM dead WHERE dead.id = t.id)
        UNION
        SELECT o.base_id FROM modelopt_private.object o
        WHERE o.base_id IS NOT NULL AND NOT EXISTS (SELECT FROM candidate WHERE candidate.id = o.id)
        UNION
        SELECT o.base_id
        FROM needed JOIN modelopt_private.object o ON o.id = needed.id
        WHERE o.base_id IS NOT NULL)
    SELECT coalesce(array_agg(candidate.id), '{}')
    FROM candidate WHERE NOT EXISTS (SELECT FROM needed WHERE needed.id = candidate.id)
$$;

-- The deepest first, so that what is coded against others goes before these.
CREATE FUNCTION modelopt_private.deepest(objects bigint[], max_objects bigint) RETURNS bigint[]
    LANGUAGE sql STABLE
    AS $$
    SELECT coalesce(array_agg(d.id), '{}')
    FROM (SELECT o.id FROM modelopt_private.object o WHERE o.id = ANY (objects) ORDER BY o.depth DESC, o.id LIMIT max_objects) d
$$;

-- Objects that have parts and no row, from one index entry each.
CREATE FUNCTION modelopt_private.orphans() RETURNS SETOF bigint
    LANGUAGE sql STABLE
    AS $$
    WITH RECURSIVE owner (id) AS (
        SELECT min(p.object_id) FROM modelopt_private.part p
        UNION ALL
        SELECT (SELECT min(p.object_id) FROM modelopt_private.part p WHERE p.object_id > owner.id)
        FROM owner WHERE owner.id IS NOT NULL)
    SELECT owner.id FROM owner
    WHERE owner.id IS NOT NULL AND NOT EXISTS (SELECT FROM modelopt_private.object o WHERE o.id = owner.id)
$$;

-- Loads that nobody has put a part into for seven days, or longer.
CREATE FUNCTION modelopt_private.stale_loads(since timestamptz) RETURNS SETOF bigint
    LANGUAGE sql STABLE
    AS $$
    SELECT l.id
    FROM modelopt_private.load l, LATERAL (SELECT least(since, clock_timestamp() - interval '7 days')) stale (before)
    WHERE l.began_at < stale.before
        AND NOT EXISTS (SELECT FROM modelopt_private.load_part p WHERE p.load_id = l.id AND p.put_at >= stale.before)
$$;

-- What there is to say of garbage, before it is gone.
CREATE FUNCTION modelopt_private.count_garbage(expired bigint[], unused bigint[], objects bigint[], orphaned bigint[], loads bigint[])
    RETURNS TABLE (what text, count bigint, bytes bigint)
    LANGUAGE sql STABLE
    AS $$
    SELECT 'versions', count(*), coalesce(sum(t.raw_bytes), 0)::bigint
    FROM modelopt_private.version v JOIN modelopt_private.tree t ON t.id = v.tree_id WHERE t.id = ANY (expired)
    UNION ALL
    SELECT 'trees', count(*), coalesce(sum(t.raw_bytes), 0)::bigint
    FROM modelopt_private.tree t WHERE t.id = ANY (expired || unused)
    UNION ALL
    SELECT 'objects', count(*), coalesce(sum(o.raw_bytes), 0)::bigint
    FROM modelopt_private.object o WHERE o.id = ANY (objects)
    UNION ALL
    SELECT 'parts', (SELECT count(*) FROM modelopt_private.part p WHERE p.object_id = ANY (objects || orphaned)),
        (SELECT coalesce(sum(o.stored_bytes), 0)::bigint FROM modelopt_private.object o WHERE o.id = ANY (objects))
        + (SELECT coalesce(sum(octet_length(p.data)), 0) FROM modelopt_private.part p WHERE p.object_id = ANY (orphaned))
    UNION ALL
    SELECT 'loads', cardinality(loads),
        (SELECT coalesce(sum(octet_length(p.data)), 0) FROM modelopt_private.load_part p WHERE p.load_id = ANY (loads))
$$;

-- ---------- taking it ----------

-- Those that nobody is using, locked until the end of the transaction.
CREATE FUNCTION modelopt_private.lock_free(relation regclass, ids bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql
    AS $$
DECLARE
    locked bigint[];
BEGIN
    EXECUTE format('SELECT coalesce(array_agg(l.id), ''{}'') FROM '
        '(SELECT x.id FROM %s x WHERE x.id = ANY ($1) ORDER BY x.id FOR UPDATE SKIP LOCKED) l', relation)
    INTO locked USING ids;
    RETURN locked;
END
$$;

CREATE FUNCTION modelopt_private.sweep(expired bigint[], unused bigint[], objects bigint[], orphaned bigint[], loads bigint[])
    RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    DELETE FROM tree_entry e WHERE e.tree_id = ANY (expired || unused);
    UPDATE tree t SET metadata_id = NULL, graph_id = NULL, forgotten_at = clock_timestamp() WHERE t.id = ANY (expired);
    DELETE FROM tree t WHERE t.id = ANY (unused);
    DELETE FROM part p WHERE p.object_id = ANY (objects || orphaned);
    DELETE FROM object o WHERE o.id = ANY (objects);
    DELETE FROM load l WHERE l.id = ANY (loads);
END
$$;

CREATE FUNCTION modelopt_private.gc(dry_run boolean DEFAULT true, grace interval DEFAULT '1 h', max_objects bigint DEFAULT NULL,
    OUT what text, OUT count bigint, OUT bytes bigint)
    RETURNS SETOF record
    LANGUAGE plpgsql
    AS $$
DECLARE
    since timestamptz;
    expired bigint[];
    unused bigint[];
    objects bigint[];
    orphaned bigint[];
    loads bigint[];
    began integer;
BEGIN
    PERFORM require_owner_of_all();
    IF dry_run IS NULL OR grace IS NULL THEN
        RAISE EXCEPTION 'dry_run and grace must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF max_objects < 0 THEN
        RAISE EXCEPTION 'max_objects must not be negative' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    since := time_before(grace, 'grace');
    IF NOT dry_run THEN
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE EXCEPTION 'gc must run in a transaction of isolation level read committed'
                USING ERRCODE = 'invalid_transaction_state',
                    DETAIL = 'It has to see what others commit while it works.';
        END IF;
        PERFORM lock_audit(0);
    END IF;

    began := begin_progress('gc', 'find', 'objects', 0);
    expired := ARRAY(SELECT expired_trees(since));
    unused := ARRAY(SELECT unused_trees());
    loads := ARRAY(SELECT stale_loads(since));
    orphaned := ARRAY(SELECT orphans());
    IF NOT dry_run THEN
        expired := lock_free('tree', expired);
        unused := lock_free('tree', unused);
        loads := lock_free('load', loads);
        expired := ARRAY(SELECT e FROM expired_trees(since) e WHERE e = ANY (expired));
        unused := ARRAY(SELECT u FROM unused_trees() u WHERE u = ANY (unused));
        loads := ARRAY(SELECT l FROM stale_loads(since) l WHERE l = ANY (loads));
    END IF;
    objects := deepest(free_objects(ARRAY(SELECT o.id FROM object o), expired || unused), max_objects);
    IF NOT dry_run THEN
        objects := lock_free('object', objects);
        objects := free_objects(objects, expired || unused);
    END IF;

    RETURN QUERY SELECT * FROM count_garbage(expired, unused, objects, orphaned, loads);
    IF NOT dry_run THEN
        PERFORM progress_phase('delete');
        PERFORM sweep(expired, unused, objects, orphaned, loads);
        PERFORM add_audit(0, '', 'gc', jsonb_build_object('grace', grace, 'objects', cardinality(objects), 'forgotten',
            (SELECT jsonb_object_agg(f.name, f.versions)
             FROM (SELECT m.name, jsonb_agg(v.version ORDER BY v.version) AS versions
                   FROM version v JOIN named_model m ON m.id = v.model_id
                   WHERE v.tree_id = ANY (expired) GROUP BY m.name) f)));
    END IF;
    PERFORM end_progress(began);
END
$$;
COMMENT ON FUNCTION modelopt_private.gc(boolean, interval, bigint) IS
    'frees the space of what nothing keeps, or with dry_run says what that would be: the content of versions (whose history stays) that no reference, policy or move younger than the grace keeps, trees that no version has, tensors that no version has and no other tensor is coded against, their rows, and loads without a new part for 7 days. Stops no commit and no reader, but what begins or finishes a load or tracks a table waits for its end; with max_objects, at most so many tensors go, to be called again. bytes of versions, trees and objects are those of the tensors, and of parts those that they take here; for the owner of the extension';
