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
    'reads a model from the bytes of a checkpoint. format: pytorch, or auto to find out; key: path of the entry that holds the weights, '''' for all of the checkpoint, NULL to find it; allow_modules: read past the classes of a pickled nn.Module, which are never run; check_crc: refuse damaged records. NULL data gives NULL. Raises 22P03 for malformed or hostile bytes, 0A000 for what is not supported, 54000 for what grows out of proportion, 42704 when there is no such entry';

CREATE FUNCTION model_write(m model, format text DEFAULT 'pytorch') RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_write';
COMMENT ON FUNCTION model_write(model, text) IS
    'writes a model as the bytes of a checkpoint. format: pytorch. Raises 22023 for an unknown format, 0A000 for a model that the format cannot hold';
