-- What the monitor keeps for good, beside the tables of the repository.

-- What a version was made for: one reference each, whose features never change.
CREATE SEQUENCE modelopt_private.drift_reference_id;
CREATE TABLE modelopt_private.drift_reference (
    id bigint PRIMARY KEY DEFAULT nextval('modelopt_private.drift_reference_id'),
    version_id bigint NOT NULL UNIQUE REFERENCES modelopt_private.version ON DELETE CASCADE,
    model_id bigint NOT NULL,                   -- what serving knows the version by
    version integer NOT NULL,
    source text NOT NULL CHECK (source IN ('training', 'serving')),
    query text,                                 -- that it was made of
    rows bigint,                                -- null: they are being collected
    wanted_rows integer,                        -- from what is served
    set_by text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    previous boolean NOT NULL DEFAULT false,    -- it has the bins alone, and each window is compared with the one before
    CHECK ((rows IS NULL) <> (wanted_rows IS NULL))
);
CREATE UNIQUE INDEX drift_reference_served ON modelopt_private.drift_reference (model_id, version);

-- Numbers have bins between edges, the upper one included, and what is no number
-- has categories and a bin for all others.  Then come nulls, what is not finite,
-- and what is below and above the reference: see monitor/drift.h.
CREATE TABLE modelopt_private.drift_feature (
    reference_id bigint NOT NULL REFERENCES modelopt_private.drift_reference ON DELETE CASCADE,
    number integer NOT NULL CHECK (number <> 0),    -- n: the nth input; -n: the nth output
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('numeric', 'categorical')),
    edges double precision[] NOT NULL,
    categories text[] NOT NULL,
    counts bigint[] NOT NULL,
    sums double precision[] NOT NULL,
    mean double precision,
    deviation double precision,
    minimum double precision,
    maximum double precision,
    port text,                                  -- the model's input or output, if it has a graph
    "position" bigint CHECK ("position" > 0),     -- among the values of a row there
    PRIMARY KEY (reference_id, number),
    CHECK (cardinality(counts) = 5 + CASE kind WHEN 'numeric' THEN cardinality(edges) ELSE cardinality(categories) END),
    CHECK (cardinality(sums) = cardinality(counts) AND cardinality(edges) < 32 AND cardinality(categories) <= 30),
    -- Whoever looks at drift computes with these: what one model's owner brings must fail here, and not there.
    CHECK (array_ndims(counts) = 1 AND array_ndims(sums) = 1 AND coalesce(array_ndims(edges), 1) = 1 AND coalesce(array_ndims(categories), 1) = 1),
    CHECK (array_position(counts, NULL) IS NULL AND 0 <= ALL (counts) AND 1000000000000000 >= ALL (counts)),
    CHECK (array_position(sums, NULL) IS NULL AND array_position(categories, NULL) IS NULL),
    CHECK (array_position(edges, NULL) IS NULL AND '-Infinity' < ALL (edges) AND 'Infinity' > ALL (edges)),
    CHECK (CASE kind WHEN 'numeric' THEN cardinality(categories) ELSE cardinality(edges) END = 0)
);

-- Where warning and drift begin, of a feature or, with '', of all.
CREATE TABLE modelopt_private.drift_threshold (
    model_id bigint NOT NULL REFERENCES modelopt_private.named_model ON DELETE CASCADE,
    feature text NOT NULL,
    metric text NOT NULL CHECK (metric IN ('psi', 'js', 'wasserstein', 'ks', 'linf', 'null_rate', 'out_of_range')),
    warn double precision CHECK (warn >= 0),    -- null: as windows before have it
    alert double precision CHECK (alert >= warn),
    CHECK ((warn IS NULL) = (alert IS NULL)),
    PRIMARY KEY (model_id, feature, metric)
);

-- What snapshot_stats() found.
CREATE TABLE modelopt_private.stat_history (
    id bigserial PRIMARY KEY,
    taken_at timestamptz NOT NULL,
    model_id bigint NOT NULL,
    model_name text NOT NULL,
    version integer NOT NULL,
    calls bigint NOT NULL,
    rows bigint NOT NULL,
    batches bigint NOT NULL,
    errors bigint NOT NULL,
    total_time double precision NOT NULL,
    cache_lookups bigint NOT NULL,
    cache_hits bigint NOT NULL,
    stats_since timestamptz NOT NULL,
    histogram bigint[] NOT NULL
);
CREATE INDEX stat_history_model ON modelopt_private.stat_history (model_id, taken_at);
CREATE TABLE modelopt_private.drift_history (
    id bigserial PRIMARY KEY,
    taken_at timestamptz NOT NULL,
    model_id bigint NOT NULL,
    model_name text NOT NULL,
    version integer NOT NULL,
    feature text NOT NULL,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    n bigint NOT NULL,
    psi double precision,
    psi_noise_floor double precision,
    js double precision,
    wasserstein double precision,
    ks double precision,
    linf double precision,
    status text NOT NULL
);
CREATE INDEX drift_history_model ON modelopt_private.drift_history (model_id, taken_at);
