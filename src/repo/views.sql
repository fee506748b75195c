-- What there is, for those who may see it.

CREATE VIEW modelopt.models WITH (security_barrier) AS
SELECT m.name, m.owner, m.description, m.default_branch, v.version AS head,
    (SELECT count(*) FROM modelopt_private.version c WHERE c.model_id = m.id) AS versions,
    t.parameters, t.raw_bytes, m.keep_last, m.keep_for, m.tags, m.archived_at, m.created_at
FROM modelopt_private.named_model m
    LEFT JOIN modelopt_private.ref r ON r.model_id = m.id AND r.kind = 'branch' AND r.name = m.default_branch
    LEFT JOIN modelopt_private.version v ON v.id = r.version_id
    LEFT JOIN modelopt_private.tree t ON t.id = v.tree_id
WHERE modelopt.has_privilege(m.name, 'usage');
COMMENT ON VIEW modelopt.models IS 'models that the current role may see; head, parameters and raw_bytes are of the default branch''s last version';

CREATE VIEW modelopt.versions WITH (security_barrier) AS
SELECT m.name AS model, v.version, v.committed_at, v.author, v.session_role, v.application, v.client, v.transaction_id,
    v.message, v.relation, v.recipe, v.params, v.tags, t.tensors, t.parameters,
    t.zeros::double precision / nullif(t.parameters, 0) AS sparsity, t.raw_bytes, v.new_bytes, v.stored_bytes,
    encode(v.digest, 'hex') AS digest, encode(t.model_digest, 'hex') AS model_digest, t.forgotten_at
FROM modelopt_private.named_model m
    JOIN modelopt_private.version v ON v.model_id = m.id
    JOIN modelopt_private.tree t ON t.id = v.tree_id
WHERE modelopt.has_privilege(m.name, 'usage');
COMMENT ON VIEW modelopt.versions IS 'all versions of models that the current role may see; digest identifies the version, model_digest its content; forgotten_at is when gc took that, if it did';

CREATE VIEW modelopt.refs WITH (security_barrier) AS
SELECT m.name AS model, r.kind, r.name, v.version,
    m.name || CASE r.kind WHEN 'branch' THEN '/' WHEN 'tag' THEN ':' ELSE '@' END || r.name AS ref, r.message
FROM modelopt_private.named_model m
    JOIN modelopt_private.ref r ON r.model_id = m.id
    JOIN modelopt_private.version v ON v.id = r.version_id
WHERE modelopt.has_privilege(m.name, 'usage');
COMMENT ON VIEW modelopt.refs IS 'branches, tags and aliases, and the versions that they point to';

CREATE VIEW modelopt.reflog WITH (security_barrier) AS
SELECT m.name AS model, l.kind, l.name, old.version AS old_version, new.version AS new_version, l.operation, l.reason,
    l.actor, l.at
FROM modelopt_private.named_model m
    JOIN modelopt_private.reflog l ON l.model_id = m.id
    LEFT JOIN modelopt_private.version old ON old.id = l.old_version_id
    LEFT JOIN modelopt_private.version new ON new.id = l.new_version_id
WHERE modelopt.has_privilege(m.name, 'usage');
COMMENT ON VIEW modelopt.reflog IS 'every move of a branch, tag or alias: from where to where, who, when and why';

CREATE VIEW modelopt.metrics WITH (security_barrier) AS
SELECT m.name AS model, v.version, x.name, x.value, x.dataset, x.step, x.recorded_by, x.recorded_at
FROM modelopt_private.named_model m
    JOIN modelopt_private.version v ON v.model_id = m.id
    JOIN modelopt_private.metric x ON x.version_id = v.id
WHERE modelopt.has_privilege(m.name, 'usage');
COMMENT ON VIEW modelopt.metrics IS 'numbers measured of versions, when they were committed or later';

CREATE VIEW modelopt.privileges WITH (security_barrier) AS
SELECT m.name AS model, CASE a.role WHEN '' THEN 'public' ELSE a.role END AS role, a.privilege, a.granted_by,
    a.role = '' OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = a.role) AS role_exists
FROM modelopt_private.access a LEFT JOIN modelopt_private.named_model m ON m.id = a.model_id
WHERE CASE WHEN m.id IS NULL THEN modelopt.owns_extension() ELSE modelopt.has_privilege(m.name, 'usage') END;
COMMENT ON VIEW modelopt.privileges IS 'what was granted to whom; without a model, for the owner of the extension, who may create models. Owners of models have all privileges. Grants are to names: where role_exists is false, whoever gets that name has them';

CREATE VIEW modelopt.audit WITH (security_barrier) AS
SELECT a.model_name AS model, a.number, a.at, a.actor, a.session_role, a.application, a.client, a.operation, a.details, encode(a.hash, 'hex') AS hash
FROM modelopt_private.audit a
    LEFT JOIN modelopt_private.named_model m ON m.id = a.model_id
WHERE CASE WHEN m.id IS NULL THEN modelopt.owns_extension() ELSE modelopt.has_privilege(m.name, 'usage') END;
COMMENT ON VIEW modelopt.audit IS 'every action on the repository: who, when, what, with which arguments; of models that the current role may see, and for the owner of the extension also of those that are gone';

CREATE VIEW modelopt.loads WITH (security_barrier) AS
SELECT l.id, l.target, l.role, l.began_at, parts.last_put_at, tensors.count AS tensors, tensors.bytes, parts.bytes AS present
FROM modelopt_private.load l,
    LATERAL (SELECT count(*), sum(t.bytes)::bigint AS bytes FROM modelopt_private.load_tensor t WHERE t.load_id = l.id) tensors,
    LATERAL (SELECT max(p.put_at) AS last_put_at, coalesce(sum(octet_length(p.data)), 0)::bigint AS bytes
             FROM modelopt_private.load_part p WHERE p.load_id = l.id) parts
WHERE modelopt.owns_extension()
    OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = l.role AND pg_catalog.pg_has_role(r.oid, 'USAGE'));
COMMENT ON VIEW modelopt.loads IS 'models that come in parts and are neither finished nor aborted, of roles that the current one is a member of: bytes are those of all tensors, present those that were put; last_put_at tells which loads were left behind';

CREATE VIEW modelopt.signing_keys WITH (security_barrier) AS
SELECT k.name, k.public_key, k.registered_by, k.registered_at, k.revoked_at
FROM modelopt_private.signing_key k;
COMMENT ON VIEW modelopt.signing_keys IS 'Ed25519 public keys, raw, that versions may be signed with, until they are revoked';

CREATE VIEW modelopt.signatures WITH (security_barrier) AS
SELECT m.name AS model, v.version, s.key_name AS key, s.signature, s.added_by, s.added_at
FROM modelopt_private.named_model m
    JOIN modelopt_private.version v ON v.model_id = m.id
    JOIN modelopt_private.signature s ON s.version_id = v.id
WHERE modelopt.has_privilege(m.name, 'usage');
COMMENT ON VIEW modelopt.signatures IS 'signatures of versions; modelopt.verify_signature() says whether they are valid now';

CREATE VIEW modelopt.tracked WITH (security_barrier) AS
SELECT * FROM modelopt.trackings();
COMMENT ON VIEW modelopt.tracked IS 'tables whose models are versioned by modelopt.track(), and by which columns';

CREATE VIEW modelopt.tracked_rows WITH (security_barrier) AS
SELECT r.prefix, r.key, m.name AS model
FROM modelopt_private.tracked_row r JOIN modelopt_private.named_model m ON m.id = r.model_id
WHERE modelopt.has_privilege(m.name, 'usage');
COMMENT ON VIEW modelopt.tracked_rows IS 'models that follow rows of tracked tables; prefix is that of modelopt.tracked';

GRANT SELECT ON ALL TABLES IN SCHEMA modelopt TO PUBLIC;
