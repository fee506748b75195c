-- The repository: what it keeps, in the schema modelopt_private, which nobody
-- but its owner may look into.  People see the views and functions of the
-- schema modelopt.
--
-- Every table and sequence is the user's data: pg_dump keeps it.  Roles are
-- kept by name, as pg_dump keeps privileges.

CREATE SCHEMA modelopt;
GRANT USAGE ON SCHEMA modelopt TO PUBLIC;
COMMENT ON SCHEMA modelopt IS 'versioned models: their repository, its history and its administration';

CREATE SCHEMA modelopt_private;
COMMENT ON SCHEMA modelopt_private IS 'tables of the model repository; the schema modelopt has the functions and views';

-- What this script runs, and what views mean for good, must not find operators
-- of whoever may create things in the schema that the extension goes to.
SET LOCAL search_path TO pg_catalog, modelopt_private, pg_temp;

CREATE SEQUENCE modelopt_private.named_model_id;
CREATE TABLE modelopt_private.named_model (
    id bigint PRIMARY KEY DEFAULT nextval('modelopt_private.named_model_id'),
    name text NOT NULL UNIQUE,
    owner text NOT NULL,
    description text NOT NULL DEFAULT '',
    default_branch text NOT NULL DEFAULT 'main',
    next_version integer NOT NULL DEFAULT 1,    -- its row lock makes numbers free of gaps
    keep_last integer,                          -- retention; null keeps everything
    keep_for interval,
    tags jsonb NOT NULL DEFAULT '{}',
    archived_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Who may do what with a model, beside its owner; no model means: may create
-- models.
CREATE TABLE modelopt_private.access (
    id bigserial PRIMARY KEY,
    model_id bigint REFERENCES modelopt_private.named_model ON DELETE CASCADE,
    role text NOT NULL,                         -- '' is everybody
    privilege text NOT NULL CHECK (privilege IN ('usage', 'read', 'write', 'admin', 'create')),
    granted_by text NOT NULL,
    CHECK ((privilege = 'create') = (model_id IS NULL))
);
CREATE UNIQUE INDEX access_key ON modelopt_private.access (coalesce(model_id, 0), role, privilege);

-- ---------- content ----------

-- What a payload is, identified by what it decodes to: SHA-256 over dtype,
-- encoding and content.  Tensors with the same content share one, in all
-- versions of all models.
CREATE SEQUENCE modelopt_private.object_id;
CREATE TABLE modelopt_private.object (
    id bigint PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    content bytea NOT NULL,                     -- SHA-256 of the decoded elements
    dtype smallint NOT NULL,                    -- numbers of the flat form
    encoding smallint NOT NULL,
    count bigint NOT NULL,                      -- elements
    form_bytes bigint NOT NULL,                 -- of the encoded payload, as a model has it
    raw_bytes bigint NOT NULL,                  -- decoded
    stored_bytes bigint NOT NULL,               -- here
    base_id bigint REFERENCES modelopt_private.object,  -- blocks are differences to its blocks
    depth smallint NOT NULL,                    -- at least one more than its base's, or 0
    blocks bytea NOT NULL,                      -- of each: its size, and CRC-32C of its cells
    zeros bigint,                               -- of floats and integers, so that nobody reads
    minimum double precision,                   -- weights to list and compare
    maximum double precision,
    mean double precision,
    l2 double precision,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX object_base ON modelopt_private.object (base_id) WHERE base_id IS NOT NULL;

-- An object's blocks, one after the other, cut into rows of a page each: one
-- WAL record and one index entry a page, where TOAST has four.  Written and
-- read by the C code alone, so there is no foreign key.
CREATE TABLE modelopt_private.part (
    object_id bigint NOT NULL,
    number integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (object_id, number)
);
ALTER TABLE modelopt_private.part ALTER data SET STORAGE PLAIN;

-- What a version contains.  What is kept of a tree that was forgotten is what
-- lists and digests of versions need.
CREATE SEQUENCE modelopt_private.tree_id;
CREATE TABLE modelopt_private.tree (
    id bigint PRIMARY KEY DEFAULT nextval('modelopt_private.tree_id'),
    digest bytea NOT NULL UNIQUE,               -- over model_digest and the objects
    model_digest bytea NOT NULL,
    metadata_id bigint REFERENCES modelopt_private.object,  -- JSON text; null for {}
    graph_id bigint REFERENCES modelopt_private.object,
    tensors integer NOT NULL,
    parameters bigint NOT NULL,
    zeros bigint NOT NULL,
    raw_bytes bigint NOT NULL,
    forgotten_at timestamptz                    -- when gc took its entries, metadata and graph
);
CREATE INDEX tree_model_digest ON modelopt_private.tree (model_digest);
CREATE INDEX tree_metadata ON modelopt_private.tree (metadata_id) WHERE metadata_id IS NOT NULL;
CREATE INDEX tree_graph ON modelopt_private.tree (graph_id) WHERE graph_id IS NOT NULL;

CREATE TABLE modelopt_private.tree_entry (
    tree_id bigint NOT NULL REFERENCES modelopt_private.tree ON DELETE CASCADE,
    number integer NOT NULL,
    payload integer NOT NULL,                   -- tied tensors have the same
    object_id bigint NOT NULL REFERENCES modelopt_private.object,
    shape bigint[] NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (tree_id, number)
);
CREATE INDEX tree_entry_object ON modelopt_private.tree_entry (object_id);

-- ---------- history ----------

CREATE SEQUENCE modelopt_private.version_id;
CREATE TABLE modelopt_private.version (
    id bigint PRIMARY KEY DEFAULT nextval('modelopt_private.version_id'),
    digest bytea NOT NULL UNIQUE,               -- over tree, parents, author, time, message, parameters
    model_id bigint NOT NULL REFERENCES modelopt_private.named_model,
    version integer NOT NULL,
    tree_id bigint NOT NULL REFERENCES modelopt_private.tree,
    message text NOT NULL,
    author text NOT NULL,
    session_role text NOT NULL,
    application text NOT NULL,
    client text,
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    committed_at timestamptz NOT NULL,
    relation text NOT NULL,                     -- to the first parent
    recipe jsonb NOT NULL,                      -- steps since then
    full_recipe text NOT NULL,                  -- the value's, as its bytes had it
    params jsonb NOT NULL,
    tags jsonb NOT NULL,
    new_bytes bigint NOT NULL,                  -- raw bytes of the objects that came with it
    stored_bytes bigint NOT NULL,               -- and what they take here
    UNIQUE (model_id, version)
);
CREATE INDEX version_tree ON modelopt_private.version (tree_id);

CREATE TABLE modelopt_private.version_parent (
    version_id bigint NOT NULL REFERENCES modelopt_private.version ON DELETE CASCADE,
    number smallint NOT NULL,
    parent_id bigint NOT NULL REFERENCES modelopt_private.version,
    relation text NOT NULL,
    PRIMARY KEY (version_id, number)
);
CREATE INDEX version_parent_parent ON modelopt_private.version_parent (parent_id);

-- Numbers that are measured when the version is there already.
CREATE TABLE modelopt_private.metric (
    id bigserial PRIMARY KEY,
    version_id bigint NOT NULL REFERENCES modelopt_private.version ON DELETE CASCADE,
    name text NOT NULL,
    value double precision NOT NULL,
    dataset text NOT NULL DEFAULT '',
    step bigint NOT NULL DEFAULT 0,
    recorded_by text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX metric_version ON modelopt_private.metric (version_id, name);

-- Branches, tags and aliases: names for versions.
CREATE TABLE modelopt_private.ref (
    model_id bigint NOT NULL REFERENCES modelopt_private.named_model,
    kind text NOT NULL CHECK (kind IN ('branch', 'tag', 'alias')),
    name text NOT NULL,
    version_id bigint NOT NULL REFERENCES modelopt_private.version,
    message text NOT NULL DEFAULT '',
    PRIMARY KEY (model_id, kind, name)
);
CREATE INDEX ref_version ON modelopt_private.ref (version_id);

-- References that only some roles may move.
CREATE TABLE modelopt_private.protection (
    model_id bigint NOT NULL REFERENCES modelopt_private.named_model ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('branch', 'tag', 'alias')),
    pattern text NOT NULL,                      -- of names, with * and ?
    roles text[] NOT NULL,
    PRIMARY KEY (model_id, kind, pattern)
);

-- Every move of a reference.  Versions are kept for as long as this may be
-- asked to go back to them: see gc.
CREATE TABLE modelopt_private.reflog (
    id bigserial PRIMARY KEY,
    model_id bigint NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    old_version_id bigint REFERENCES modelopt_private.version,
    new_version_id bigint REFERENCES modelopt_private.version,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    operation text NOT NULL,
    reason text NOT NULL DEFAULT ''
);
CREATE INDEX reflog_ref ON modelopt_private.reflog (model_id, kind, name, id);
CREATE INDEX reflog_old ON modelopt_private.reflog (old_version_id);
CREATE INDEX reflog_new ON modelopt_private.reflog (new_version_id);

-- ---------- trust ----------

-- A chain for each model (and one, 0, of what concerns none): a row's hash
-- covers the row and the hash before it.  The head is locked while a link is
-- added, and shows when links are missing at the end.
CREATE TABLE modelopt_private.audit_head (
    model_id bigint PRIMARY KEY,
    number bigint NOT NULL,
    hash bytea NOT NULL
);
CREATE TABLE modelopt_private.audit (
    model_id bigint NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    session_role text NOT NULL,
    application text NOT NULL,
    client text,
    operation text NOT NULL,
    model_name text NOT NULL,
    details jsonb NOT NULL,                     -- arguments, before and after
    hash bytea NOT NULL,
    PRIMARY KEY (model_id, number)
);

CREATE TABLE modelopt_private.signing_key (
    name text PRIMARY KEY,
    public_key bytea NOT NULL UNIQUE CHECK (octet_length(public_key) = 32),
    registered_by text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz
);

CREATE TABLE modelopt_private.signature (
    version_id bigint NOT NULL REFERENCES modelopt_private.version ON DELETE CASCADE,
    key_name text NOT NULL REFERENCES modelopt_private.signing_key,
    signature bytea NOT NULL,
    added_by text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (version_id, key_name)
);

-- ---------- doors ----------

-- Models that follow a row of a user's table, whose owner has them.  Which
-- tables and columns is in the tables' own triggers, which their dumps, renames
-- and drops take along.
CREATE TABLE modelopt_private.tracked_row (
    model_id bigint PRIMARY KEY REFERENCES modelopt_private.named_model ON DELETE CASCADE,
    prefix text NOT NULL,                       -- what the table's triggers call it
    key text[] NOT NULL
);
CREATE INDEX tracked_row_key ON modelopt_private.tracked_row (prefix, key);

-- Models that come in parts, until they are complete.
CREATE SEQUENCE modelopt_private.load_id;
CREATE TABLE modelopt_private.load (
    id bigint PRIMARY KEY DEFAULT nextval('modelopt_private.load_id'),
    target text NOT NULL,                       -- what finish_load commits to
    role text NOT NULL,                         -- who may put parts
    metadata jsonb NOT NULL,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE modelopt_private.load_tensor (
    load_id bigint NOT NULL REFERENCES modelopt_private.load ON DELETE CASCADE,
    number integer NOT NULL,
    name text NOT NULL,
    dtype text NOT NULL,
    shape bigint[] NOT NULL,
    bytes bigint NOT NULL,
    tied_to integer,                            -- the number of the tensor that has its elements
    PRIMARY KEY (load_id, number),
    UNIQUE (load_id, name)
);
CREATE TABLE modelopt_private.load_part (
    load_id bigint NOT NULL,
    tensor integer NOT NULL,
    first_byte bigint NOT NULL,
    data bytea NOT NULL,
    put_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (load_id, tensor, first_byte),
    FOREIGN KEY (load_id, tensor) REFERENCES modelopt_private.load_tensor ON DELETE CASCADE
);
ALTER TABLE modelopt_private.load_part ALTER data SET STORAGE EXTERNAL;
