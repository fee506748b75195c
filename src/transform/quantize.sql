-- Quantizing: weights as small integers, small floats or blocks.

CREATE FUNCTION quantize(
    m model,
    dtype text,
    scheme text DEFAULT NULL,
    granularity text DEFAULT NULL,
    affine boolean DEFAULT NULL,
    group_size integer DEFAULT NULL,
    axis integer DEFAULT NULL,
    reduce_range boolean DEFAULT false,
    include text[] DEFAULT '{}',
    exclude text[] DEFAULT '{}',
    requantize boolean DEFAULT false,
    activation_ranges jsonb DEFAULT NULL
) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_quantize';
COMMENT ON FUNCTION quantize(model, text, text, text, boolean, integer, integer, boolean, text[], text[], boolean, jsonb) IS
    'the model with weights rounded to a smaller type. dtype: int8, uint8, int4, uint4, int16, uint16 (integers with scales; the tensors keep their dtype and are decoded when they are read), fp16, bf16, fp8_e4m3, fp8_e5m2 (the dtype changes, rounded to nearest even), q8_0, q4_0 (ggml''s blocks, of dtype f32). scheme, whose formulas give the integers, bit for bit: onnx (ONNX Runtime''s quantizers; the default), torch (its observers, 8 bits), gguf (q8_0 and q4_0). granularity, what shares a scale: tensor, channel (default: along axis, the outputs), group (group_size neighbours along axis, the inputs; the default for 4 bits, of 32). affine: the integers are spread from the smallest to the largest element, and not evenly around zero; default for unsigned ones. axis: default what the graph says, else 0 for channels and all others for groups. reduce_range: 7 bits of 8. include, exclude: names of tensors, or patterns with * and ?; by default floating-point tensors of two or more dimensions. A tensor is left as it is where it would not become smaller, which a NOTICE says; zeros stay zeros. requantize: also what was quantized before, else an error (55000). activation_ranges: for values of the models graph the least and the greatest that they take, like {"x": [-1.5, 3]}, by which model_write(..., onnx) quantizes them to 8 bits, too. NaN and infinities are errors (22023), as are elements too large for the type (22003), with tensor and index. Null for a null model, null arguments are the defaults. Raises 22023 and 0A000 for arguments that make no sense together, 42704 for names and patterns that match nothing';

CREATE FUNCTION quantize_dry_run(
    m model,
    dtype text,
    scheme text DEFAULT NULL,
    granularity text DEFAULT NULL,
    affine boolean DEFAULT NULL,
    group_size integer DEFAULT NULL,
    axis integer DEFAULT NULL,
    reduce_range boolean DEFAULT false,
    include text[] DEFAULT '{}',
    exclude text[] DEFAULT '{}',
    requantize boolean DEFAULT false,
    OUT name text,
    OUT parameters bigint,
    OUT new_dtype text,
    OUT new_encoding text,
    OUT bytes_before bigint,
    OUT bytes_after bigint,
    OUT max_error double precision,
    OUT rms_error double precision,
    OUT note text
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000 ROWS 50
    AS 'MODULE_PATHNAME', 'modelopt_quantize_dry_run';
COMMENT ON FUNCTION quantize_dry_run(model, text, text, text, boolean, integer, integer, boolean, text[], text[], boolean) IS
    'what quantize of the same arguments would do to each tensor: its dtype and encoding then, stored bytes before and after, largest and root of the mean squared difference of its elements; note says why a tensor would stay as it is. Tied tensors come once, under the name of the first';
