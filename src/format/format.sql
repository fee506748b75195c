-- Reading and writing the formats that people keep models in.

CREATE FUNCTION model_read(
    data bytea,
    format text DEFAULT 'auto',
    key text DEFAULT NULL,
    allow_modules boolean DEFAULT false,
    check_crc boolean DEFAULT true
) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_read';
COMMENT ON FUNCTION model_read(bytea, text, text, boolean, boolean) IS
    'reads a model from the bytes of a file. format: one that model_formats() lists, or auto to find out; key: path of the entry of a PyTorch checkpoint that holds the weights, '''' for all of it, NULL to find it; allow_modules: read past the classes of a pickled nn.Module, which are never run; check_crc: refuse damaged records. NULL data gives NULL. Raises 22P03 for malformed or hostile bytes, 0A000 for what is not supported, 54000 for what grows out of proportion, 42704 when there is no such entry, 22023 for a key where the format has no entries';

CREATE FUNCTION model_write(m model, format text DEFAULT 'pytorch', dtype text DEFAULT NULL) RETURNS bytea
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_write';
COMMENT ON FUNCTION model_write(model, text, text) IS
    'writes a model as the bytes of a file. format: one that model_formats() lists; dtype: with gguf, the type that tensors of floats are written in (f32, f16, bf16, q8_0, q4_0), else null. Null for a null model or format. Raises 22023 for an unknown format or dtype, 0A000 for a model that the format cannot hold, 54000 for a file larger than a bytea';

CREATE FUNCTION model_load(
    path text,
    format text DEFAULT 'auto',
    key text DEFAULT NULL,
    allow_modules boolean DEFAULT false,
    check_crc boolean DEFAULT true
) RETURNS model
    LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_load';
COMMENT ON FUNCTION model_load(text, text, text, boolean, boolean) IS
    'reads a model from a file of the server, for members of pg_read_server_files; a relative path starts in the data directory. The other arguments are those of model_read. The index of a model in several safetensors files reads the files that it names, beside it, and an ONNX model those that its tensors name; they must lie in its directory or below. Raises 42501 for other roles, 58P01 when there is no such file, and what model_read raises';

CREATE FUNCTION model_save(m model, path text, format text DEFAULT NULL, dtype text DEFAULT NULL) RETURNS bigint
    LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_save';
COMMENT ON FUNCTION model_save(model, text, text, text) IS
    'writes a model to a file of the server, for members of pg_write_server_files, and returns its size in bytes. path: absolute; format: NULL for what the name says (.pt .pth .safetensors .onnx .gguf .npz .npy); dtype: as of model_write. A file of that name is replaced when the new one is complete and on disk, and stays as it is when that fails. An ONNX file of more than modelopt.onnx_external_data_threshold (2 GB, where the format ends) has its weights in a second file beside it, whose name ends in .data, begins like its own and is new each time: a notice says it, the size is that of both, and the second file of a model that is replaced stays. Raises 42501 for other roles, 42602 for a relative path, 22023 when the name says no format, 58xxx for what the system does not let it do, and what model_write raises';

CREATE FUNCTION model_formats(
    OUT format text,
    OUT extensions text,
    OUT reads text,
    OUT writes text,
    OUT keeps text,
    OUT refuses text
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 6
    AS 'MODULE_PATHNAME', 'modelopt_formats';
COMMENT ON FUNCTION model_formats() IS
    'the formats that models are read from and written to: name, endings of file names that model_save goes by, what of the format is read and written, what is kept of a file beside its tensors, and what is refused';
