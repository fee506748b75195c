-- Compressing: fewer values, thinner matrices, or whatever is close enough.

CREATE FUNCTION compress(
    m model,
    method text DEFAULT NULL,
    rank integer DEFAULT NULL,
    energy double precision DEFAULT NULL,
    bits integer DEFAULT NULL,
    max_error double precision DEFAULT NULL,
    include text[] DEFAULT '{}',
    exclude text[] DEFAULT '{}'
) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 100000
    AS 'MODULE_PATHNAME', 'modelopt_compress';
COMMENT ON FUNCTION compress(model, text, integer, double precision, integer, double precision, text[], text[]) IS
    'the model with weights that take less space. method: lowrank (matrices as products of two thin ones, by the singular value decomposition, of a rank, or of the smallest rank that keeps a fraction energy of the sum of squares; dimensions but the first count as one), cluster (the weights of a tensor become at most 2^bits values, 1 to 8 bits, those of the least squared error; zeros stay zeros), lossless (bytes of the same significance together, by how often they come; nothing is rounded, and tensors of every dtype and shape are meant by default). Without a method, max_error: for each tensor the smallest of palettes, integers with scales and what lossless makes of it whose elements differ by no more than that. Tensors keep their names, shapes and dtypes, and are decoded when they are read. include, exclude: names of tensors, or patterns with * and ?; by default floating-point tensors of two or more dimensions, for lossless all. A tensor is left as it is where it would not become smaller, which a NOTICE says. NaN and infinities are errors (22023), as are numbers too large to be computed with (22003) and tensors whose elements were rounded before (55000); lossless takes the first as they are and leaves the second alone. lowrank needs the library LAPACK (58P01), in whose last bits machines may differ, and looks for interrupts every few dozen columns. Null for a null model, null arguments are the defaults';

CREATE FUNCTION compress_dry_run(
    m model,
    method text DEFAULT NULL,
    rank integer DEFAULT NULL,
    energy double precision DEFAULT NULL,
    bits integer DEFAULT NULL,
    max_error double precision DEFAULT NULL,
    include text[] DEFAULT '{}',
    exclude text[] DEFAULT '{}',
    OUT name text,
    OUT parameters bigint,
    OUT new_dtype text,
    OUT new_encoding text,
    OUT bytes_before bigint,
    OUT bytes_after bigint,
    OUT max_error_found double precision,
    OUT rms_error double precision,
    OUT note text
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 100000 ROWS 50
    AS 'MODULE_PATHNAME', 'modelopt_compress_dry_run';
COMMENT ON FUNCTION compress_dry_run(model, text, integer, double precision, integer, double precision, text[], text[]) IS
    'what compress of the same arguments would do to each tensor: its dtype and encoding then, stored bytes before and after, largest and root of the mean squared difference of its elements; note says why a tensor would stay as it is. Tied tensors come once, under the name of the first';
