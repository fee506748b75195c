-- Pruning, and what it gained.

CREATE FUNCTION prune(
    m model,
    amount double precision DEFAULT NULL,
    method text DEFAULT 'l1',
    scope text DEFAULT 'global',
    dim integer DEFAULT NULL,
    norm double precision DEFAULT 2,
    n integer DEFAULT NULL,
    m_of integer DEFAULT NULL,
    "of" text DEFAULT 'all',
    include text[] DEFAULT '{}',
    exclude text[] DEFAULT '{}',
    seed bigint DEFAULT 0,
    mask model DEFAULT NULL,
    activation_norms jsonb DEFAULT NULL
) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_prune';
COMMENT ON FUNCTION prune(model, double precision, text, text, integer, double precision, integer, integer, text, text[], text[], bigint, model, jsonb) IS
    'the model with weights set to zero, stored sparse where that is smaller. amount: fraction of 0 to 1 that goes, rounded half to even (1 is all; prune_count takes a number); with method threshold the magnitude below which weights go. method: l1 or l2 (smallest magnitudes, ties by lowest index, NaN last), random (by seed), threshold, ln_structured (slices along dim, default 0, of the smallest norm: 0, a positive number, Infinity or -Infinity; those but 0, 1, 2 and the infinities use the C library''s pow), random_structured, n:m (keep the n largest of every m_of along dim, default 1), mask (where that model''s tensors of the same names are zero), wanda (in each output''s row the smallest products of a weight''s magnitude and its input''s activation norm, the fraction rounded down, or with n and m_of all but the n largest of every m_of; the inputs are dim, default what the graph says, else 1, and activation_norms has for each tensor an array of a norm for each of them, as calibrate() gives them). scope: global, layer or tensor, what l1, l2 and random rank together; the other methods take each tensor by itself, wanda each row. of: all, where zeros count as the smallest, or remaining, what is not zero yet. include, exclude: names of tensors, or patterns with * and ?; by default floating-point tensors of two or more dimensions that are no embeddings (by layers, or by a word like embed in the name), which alone patterns choose from. The recipe in the metadata says what was done. Null for a null model, null arguments are the defaults. Raises 22023 for arguments without meaning, 42704 for names and patterns that match nothing, 0A000 for 4-bit dtypes';

CREATE FUNCTION prune_count(
    m model,
    count bigint,
    method text DEFAULT 'l1',
    scope text DEFAULT 'global',
    dim integer DEFAULT NULL,
    norm double precision DEFAULT 2,
    n integer DEFAULT NULL,
    m_of integer DEFAULT NULL,
    "of" text DEFAULT 'all',
    include text[] DEFAULT '{}',
    exclude text[] DEFAULT '{}',
    seed bigint DEFAULT 0,
    mask model DEFAULT NULL,
    activation_norms jsonb DEFAULT NULL
) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_prune_count';
COMMENT ON FUNCTION prune_count(model, bigint, text, text, integer, double precision, integer, integer, text, text[], text[], bigint, model, jsonb) IS
    'as prune, with a number of weights (or slices, with the structured methods) to prune in each scope instead of a fraction; a number larger than there are is an error (22023), as are the methods that prune what they find (threshold, n:m, mask)';

CREATE FUNCTION prune_dry_run(
    m model,
    amount double precision DEFAULT NULL,
    method text DEFAULT 'l1',
    scope text DEFAULT 'global',
    dim integer DEFAULT NULL,
    norm double precision DEFAULT 2,
    n integer DEFAULT NULL,
    m_of integer DEFAULT NULL,
    "of" text DEFAULT 'all',
    include text[] DEFAULT '{}',
    exclude text[] DEFAULT '{}',
    seed bigint DEFAULT 0,
    mask model DEFAULT NULL,
    activation_norms jsonb DEFAULT NULL,
    count bigint DEFAULT NULL,
    OUT name text,
    OUT parameters bigint,
    OUT pruned bigint,
    OUT sparsity_before double precision,
    OUT sparsity_after double precision,
    OUT bytes_before bigint,
    OUT bytes_after bigint,
    OUT max_error double precision,
    OUT rms_error double precision
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000 ROWS 50
    AS 'MODULE_PATHNAME', 'modelopt_prune_dry_run';
COMMENT ON FUNCTION prune_dry_run(model, double precision, text, text, integer, double precision, integer, integer, text, text[], text[], bigint, model, jsonb, bigint) IS
    'what prune (or with count prune_count) of the same arguments would do to each tensor: elements, how many of them go (those that are zero already included), fraction of zeros and stored bytes before and after, largest magnitude among what goes, and root of the mean squared error over the tensor; tied tensors come once, under the name of the first';

CREATE FUNCTION compression_rate(original model, new model) RETURNS double precision
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_compression_rate';
COMMENT ON FUNCTION compression_rate(model, model) IS
    'bytes gained as a fraction of the original''s: (model_size(original) - model_size(new)) / model_size(original), 0 when nothing was gained; reads no weights';

CREATE FUNCTION pruning_rate(original model, new model) RETURNS double precision
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_pruning_rate';
COMMENT ON FUNCTION pruning_rate(model, model) IS
    'weights that are gone as a fraction of the original''s, where a weight is an element that is not zero, tied ones counted once: (original - new) / original, 0 when none are gone, null for an original of zeros alone';
