-- What transformations cost and gained.

CREATE FUNCTION report(
    original model,
    new model,
    OUT name text,
    OUT encoding text,
    OUT parameters_before bigint,
    OUT parameters_after bigint,
    OUT bytes_before bigint,
    OUT bytes_after bigint,
    OUT sparsity_before double precision,
    OUT sparsity_after double precision,
    OUT max_error double precision,
    OUT rel_l2 double precision,
    OUT snr double precision,
    OUT compression_rate double precision,
    OUT pruning_rate double precision
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 ROWS 50
    AS 'MODULE_PATHNAME', 'modelopt_report';
COMMENT ON FUNCTION report(model, model) IS
    'a model beside the one that it was made from: a row for each tensor (tied ones once, under the first name), and a last one, without a name, for all. encoding: of the new tensor; parameters and stored bytes (in the last row as model_size has them) and fraction of zeros on both sides, null where there is no such tensor; largest difference of elements, Euclidean norm of the differences as a fraction of the original''s (rel_l2), and the same in decibels (snr, infinite for equal tensors), null where shapes differ, in the last row over all tensors of weights: those of integers and those without dimensions are left out of these three, as constants that a graph computes with may be as large as their type has room for; compression_rate and pruning_rate as the functions of these names: what is gone of bytes, and of elements that are not zero, as fractions, 0 when nothing is gone';
