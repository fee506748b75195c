-- Looking into a model, and single tensors in and out of it.

CREATE FUNCTION tensors(
    model,
    OUT name text,
    OUT dtype text,
    OUT shape bigint[],
    OUT parameters bigint,
    OUT bytes bigint,
    OUT encoding text,
    OUT tied_to text
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 100
    AS 'MODULE_PATHNAME', 'modelopt_tensors';
COMMENT ON FUNCTION tensors(model) IS
    'the tensors of a model in the order of its source: dtype (f64 f32 f16 bf16 f8e4m3 f8e5m2 f8e4m3fnuz f8e5m2fnuz f8e8m0 i64 i32 i16 i8 i4 u64 u32 u16 u8 u4 bool), shape, number of elements, stored bytes, encoding (dense, sparse, affine for integers with scales, codebook for few values, lowrank for a product of two matrices, planes for bytes packed without loss, or a block quantization: q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k), and the first tensor that shares the same bytes, if that is another one; reads no weights';

CREATE FUNCTION stats(
    model,
    OUT name text,
    OUT dtype text,
    OUT parameters bigint,
    OUT min double precision,
    OUT max double precision,
    OUT mean double precision,
    OUT stddev double precision,
    OUT l1 double precision,
    OUT l2 double precision,
    OUT zeros bigint,
    OUT nan bigint,
    OUT inf bigint,
    OUT sparsity double precision
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 ROWS 100
    AS 'MODULE_PATHNAME', 'modelopt_stats';
COMMENT ON FUNCTION stats(model) IS
    'per tensor: minimum, maximum, mean, sample standard deviation (n - 1, as torch.std), sum of magnitudes (l1) and Euclidean norm (l2) of the finite elements, null where there are none (stddev: fewer than two); counts of zeros of either sign, of NaN and of infinities; sparsity is zeros / parameters, null without elements; computed in double precision in a fixed order, the same on every machine';

CREATE FUNCTION num_parameters(model) RETURNS bigint
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_num_parameters';
COMMENT ON FUNCTION num_parameters(model) IS
    'number of elements of all tensors, buffers included, tied ones counted once; what nodes of a graph have in attributes, as trees do, is none of them; reads no weights';

CREATE FUNCTION model_size(model) RETURNS bigint
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_model_size';
COMMENT ON FUNCTION model_size(model) IS
    'bytes that the model takes as a stored value, with names, metadata and padding; reads no weights';

CREATE FUNCTION sparsity(model) RETURNS double precision
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_sparsity';
COMMENT ON FUNCTION sparsity(model) IS
    'elements that are zero, of either sign, as a fraction of all, 0 to 1; tied tensors count once; null for a model without elements';

CREATE FUNCTION model_info(model) RETURNS jsonb
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_model_info';
COMMENT ON FUNCTION model_info(model) IS
    'summary of a model: format version, digest, numbers of tensors, parameters and stored bytes, in all and for each dtype and encoding (parameters and bytes of tied tensors once), the metadata''s keys, and the recipe; reads no weights of a stored model';

CREATE FUNCTION model_digest(model) RETURNS text
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_model_digest';
COMMENT ON FUNCTION model_digest(model) IS
    'SHA-256 of a model''s content (names, dtypes, shapes, values as bits, metadata without the recipe) as 64 hexadecimal digits, the same however the model is encoded; reads no weights of a stored model';

CREATE FUNCTION tensor(m model, name text) RETURNS real[]
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'modelopt_tensor';
COMMENT ON FUNCTION tensor(model, text) IS
    'one tensor as an array of its shape; values are rounded to the nearest real, so f64 and integers beyond 2^24 lose digits; a tensor without dimensions is an array of one element, one without elements the empty array; an unknown name is an error (42704), as are more than 6 dimensions or more elements than an array can have (54000)';

CREATE FUNCTION model_set(m model, name text, data real[]) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'modelopt_model_set';
COMMENT ON FUNCTION model_set(model, text, real[]) IS
    'the model with the values of one tensor replaced, rounded to the nearest value of its dtype; the array must have the tensor''s shape (2202E) and no nulls (22004), and its values must fit an integer dtype (22003); tensors that are tied to it change with it; an unknown name is an error (42704). Null for a null model; a null name or array is an error (22004), lest it make an end of the model';

CREATE FUNCTION model_agg_transfn(internal, name text, data real[]) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_model_agg_transfn';
COMMENT ON FUNCTION model_agg_transfn(internal, text, real[]) IS
    'transition function of model_agg';

CREATE FUNCTION model_agg_finalfn(internal) RETURNS model
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_model_agg_finalfn';
COMMENT ON FUNCTION model_agg_finalfn(internal) IS
    'final function of model_agg';

CREATE AGGREGATE model_agg(name text, data real[]) (
    SFUNC = model_agg_transfn,
    STYPE = internal,
    FINALFUNC = model_agg_finalfn,
    FINALFUNC_MODIFY = READ_ONLY,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE model_agg(text, real[]) IS
    'a model of f32 tensors, one for each row, with the shapes of the arrays and in the order of the rows (use ORDER BY); null names, arrays or elements are errors (22004), as is a name that comes twice (22P02); null without rows';

CREATE FUNCTION model_metadata(model) RETURNS jsonb
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_model_metadata';
COMMENT ON FUNCTION model_metadata(model) IS
    'what a model says of itself: a JSON object, with the transformations that made the model under the key "recipe" if there were any';

CREATE FUNCTION model_set_metadata(m model, metadata jsonb) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_model_set_metadata';
COMMENT ON FUNCTION model_set_metadata(model, jsonb) IS
    'the model with other metadata, which must be a JSON object (22023); the recipe stays, and a key "recipe" that differs from it is an error (22023). Null for a null model; null metadata is an error (22004), lest it make an end of the model';

CREATE FUNCTION decompress(model) RETURNS model
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'modelopt_decompress';
COMMENT ON FUNCTION decompress(model) IS
    'the same model with every tensor stored densely, whatever its encoding was; equal to its argument, but larger. What an encoding has rounded stays rounded';
