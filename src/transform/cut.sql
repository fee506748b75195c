-- Cutting nodes, layers and edges out of models.

CREATE FUNCTION cut_nodes(
    m model,
    amount double precision DEFAULT NULL,
    method text DEFAULT 'l2',
    scope text DEFAULT 'layer',
    round_to integer DEFAULT 1,
    include text[] DEFAULT '{}',
    exclude text[] DEFAULT '{}',
    seed bigint DEFAULT 0
) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_cut_nodes';
COMMENT ON FUNCTION cut_nodes(model, double precision, text, text, integer, text[], text[], bigint) IS
    'the model with fewer nodes (neurons, channels, heads of attention), and smaller tensors: what makes a node goes, what normalizes it, and what reads it, through additions, concatenations, splits, reshapes and groups of convolutions; the graph follows. Asks for a graph, which models read from ONNX have and set_graph gives. amount: fraction of 0 to 1 of the nodes that goes, rounded half to even; each layer keeps at least one, as does each part of one that the graph takes by itself, and 1, which would leave none, is an error (22023). Cutting a fraction p of the nodes takes about 1 - (1 - p)^2 of the parameters. method: l2 (smallest sum of squares of the weights that make a node or read it, and of norms'' scales; embeddings, biases and depthwise kernels have no say), l1 (the same of magnitudes), random (by seed), bn_scale (smallest scale of a batch norm). scope: layer (so many of each) or global (of all layers together, importances in terms of their layer''s mean). round_to: what stays of a layer is the nearest multiple, at least one. include, exclude: layers, by their names or their weights'', or patterns with * and ?. Outputs of the model stay unless include names their layer in full. The recipe in the metadata lists what went, by layer. Null for a null model. Raises 22023 for models without a graph and layers that cannot lose nodes, or whose nodes the method cannot rank (those without batch norm, and l1 and l2 those whose weights the graph dequantizes), 42704 for patterns that match nothing, 0A000 where a node of the graph, which is named, is not understood and its neighbours are to be cut';

CREATE FUNCTION cut_nodes_count(
    m model,
    count bigint,
    method text DEFAULT 'l2',
    scope text DEFAULT 'layer',
    round_to integer DEFAULT 1,
    include text[] DEFAULT '{}',
    exclude text[] DEFAULT '{}',
    seed bigint DEFAULT NULL
) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_cut_nodes_count';
COMMENT ON FUNCTION cut_nodes_count(model, bigint, text, text, integer, text[], text[], bigint) IS
    'as cut_nodes, with a number of nodes of each layer (with scope global: in all) instead of a fraction; more than can go is an error (22023)';

CREATE FUNCTION cut_nodes_dry_run(
    m model,
    amount double precision DEFAULT NULL,
    method text DEFAULT 'l2',
    scope text DEFAULT 'layer',
    round_to integer DEFAULT 1,
    include text[] DEFAULT '{}',
    exclude text[] DEFAULT '{}',
    seed bigint DEFAULT 0,
    count bigint DEFAULT NULL,
    OUT layer text,
    OUT "group" integer,
    OUT nodes integer,
    OUT cut integer,
    OUT indexes integer[],
    OUT stays_because text
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000 ROWS 50
    AS 'MODULE_PATHNAME', 'modelopt_cut_nodes_dry_run';
COMMENT ON FUNCTION cut_nodes_dry_run(model, double precision, text, text, integer, text[], text[], bigint, bigint) IS
    'what cut_nodes (or with count cut_nodes_count) of the same arguments would do to each layer that makes nodes, in the order in which they compute: its nodes, how many of them go and which, counted from 0, the number of the group of layers that lose nodes together, and why it loses none where it cannot. A layer for which cut_nodes would raise loses none, and the reason is what the error would say; a model of which no node can go has only such rows';

CREATE FUNCTION cut_edges(
    m model,
    amount double precision DEFAULT NULL,
    method text DEFAULT 'l1',
    scope text DEFAULT 'global',
    include text[] DEFAULT '{}',
    exclude text[] DEFAULT '{}',
    seed bigint DEFAULT 0,
    dead_nodes boolean DEFAULT false
) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_cut_edges';
COMMENT ON FUNCTION cut_edges(model, double precision, text, text, text[], text[], bigint, boolean) IS
    'the model without its weakest connections: single weights become zero, as prune does it, and what is left is stored sparse where that is smaller. amount: fraction of 0 to 1 that goes, rounded half to even; method: l1 or l2 (smallest magnitudes, which is the same for single weights) or random (by seed), while prune has others; scope: global (of all layers together) or layer; include, exclude: tensors, as of prune. dead_nodes has the nodes go too that cannot change any output afterwards, as cut_dead_nodes does. Null for a null model. Raises 22023 for arguments without meaning, 42704 for names and patterns that match nothing';

CREATE FUNCTION cut_edges_dry_run(
    m model,
    amount double precision DEFAULT NULL,
    method text DEFAULT 'l1',
    scope text DEFAULT 'global',
    include text[] DEFAULT '{}',
    exclude text[] DEFAULT '{}',
    seed bigint DEFAULT 0,
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
    AS 'MODULE_PATHNAME', 'modelopt_cut_edges_dry_run';
COMMENT ON FUNCTION cut_edges_dry_run(model, double precision, text, text, text[], text[], bigint) IS
    'what cut_edges of the same arguments, without dead_nodes, would do to each tensor; columns as of prune_dry_run. Which nodes would be dead then says cut_dead_nodes_dry_run(cut_edges(m, ...))';

CREATE FUNCTION cut_dead_nodes(model) RETURNS model
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_cut_dead_nodes';
COMMENT ON FUNCTION cut_dead_nodes(model) IS
    'the model without the nodes that cannot change any output: those that only weights of zero or other dead nodes read, and those that are always zero because the weights and the bias that make them are; it computes the same, as long as what it computes is finite. Each layer keeps at least one node, and nodes whose neighbours are not understood stay. Asks for a graph, as cut_nodes does (22023), and raises 54000 for one that takes its weights in very many ways';

CREATE FUNCTION cut_dead_nodes_dry_run(
    model,
    OUT layer text,
    OUT "group" integer,
    OUT nodes integer,
    OUT cut integer,
    OUT indexes integer[],
    OUT stays_because text
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 ROWS 50
    AS 'MODULE_PATHNAME', 'modelopt_cut_dead_nodes_dry_run';
COMMENT ON FUNCTION cut_dead_nodes_dry_run(model) IS
    'what cut_dead_nodes would do to each layer that makes nodes; columns as of cut_nodes_dry_run';

CREATE FUNCTION cut_layers(m model, layers text) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'modelopt_cut_layers_text';
COMMENT ON FUNCTION cut_layers(model, text) IS
    'the model without some layers, a layer being a module that has a weight with all that is under it (attention with its projections), or a numbered block of them: their tensors go, what they took is handed on to where their result went, and blocks that come after them are renumbered, with what the metadata counts and lists of blocks. layers: the name of a layer or of a block like encoder.layer.10, a pattern with * and ?, a range of blocks like encoder.layer.[8-11], or an array of these in braces. A residual block goes with the addition that ends it, and an activation that would be applied twice in a row goes once. With a graph a layer can go when the shapes that it takes and gives are the same; without one, when another block of its stack has the same tensors, or when it gives as many features as it takes. Null for a null model; null layers are an error (22004). Raises 22023 for a layer that cannot go, with both shapes, and 42704 for names and patterns that match nothing';

CREATE FUNCTION cut_layers(m model, layers text[]) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'modelopt_cut_layers_array';
COMMENT ON FUNCTION cut_layers(model, text[]) IS
    'the same with an array of names and patterns';

CREATE FUNCTION cut_layers(
    m model,
    amount double precision,
    method text DEFAULT 'importance',
    similarity jsonb DEFAULT NULL
) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_cut_layers_fraction';
COMMENT ON FUNCTION cut_layers(model, double precision, text, jsonb) IS
    'the model without the least important layers: a fraction of 0 to 1, rounded half to even, of the outermost numbered blocks that can go, or, where there are none, of the layers that can go and have a matrix of weights (norms have none, and are never ranked). method: importance (smallest mean magnitude of the weights, the first of equal ones) or similarity, by an object that says for each layer how alike what it takes and what it gives are on some data, of which the most alike go first. Otherwise as the forms that take names';

CREATE FUNCTION cut_layers_dry_run(
    m model,
    layers text,
    OUT layer text,
    OUT tensors integer,
    OUT parameters bigint,
    OUT importance double precision,
    OUT cut boolean,
    OUT new_name text,
    OUT stays_because text
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000 ROWS 50
    AS 'MODULE_PATHNAME', 'modelopt_cut_layers_dry_run_text';
COMMENT ON FUNCTION cut_layers_dry_run(model, text) IS
    'what cut_layers of the same arguments would do to each block and layer: tensors and parameters that it has, the mean magnitude of its weights, whether it goes, else what it is called afterwards, and why it stays: what cut_layers would raise for a layer that is to go and cannot, or why it could not go by itself';

CREATE FUNCTION cut_layers_dry_run(
    m model,
    layers text[],
    OUT layer text,
    OUT tensors integer,
    OUT parameters bigint,
    OUT importance double precision,
    OUT cut boolean,
    OUT new_name text,
    OUT stays_because text
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000 ROWS 50
    AS 'MODULE_PATHNAME', 'modelopt_cut_layers_dry_run_array';
COMMENT ON FUNCTION cut_layers_dry_run(model, text[]) IS
    'the same with an array of names and patterns';

CREATE FUNCTION cut_layers_dry_run(
    m model,
    amount double precision,
    method text DEFAULT 'importance',
    similarity jsonb DEFAULT NULL,
    OUT layer text,
    OUT tensors integer,
    OUT parameters bigint,
    OUT importance double precision,
    OUT cut boolean,
    OUT new_name text,
    OUT stays_because text
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000 ROWS 50
    AS 'MODULE_PATHNAME', 'modelopt_cut_layers_dry_run_fraction';
COMMENT ON FUNCTION cut_layers_dry_run(model, double precision, text, jsonb) IS
    'the same for the least important layers; importance is what they are ranked by, with method similarity its negative, and what stays though it could go says why it is not ranked';

CREATE FUNCTION layer_cutting_rate(original model, new model) RETURNS double precision
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_layer_cutting_rate';
COMMENT ON FUNCTION layer_cutting_rate(model, model) IS
    'layers that are gone as a fraction of the original''s, those that layers() lists: (original - new) / original, 0 when none are gone, null for an original without layers; reads no weights';

CREATE FUNCTION node_cutting_rate(original model, new model) RETURNS double precision
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_node_cutting_rate';
COMMENT ON FUNCTION node_cutting_rate(model, model) IS
    'nodes (neurons, channels, places of an embedding) that are gone as a fraction of the original''s: (original - new) / original, 0 when none are gone, null for an original without nodes; counted by the graphs where both have one, else by the weights of linear, convolution, embedding and attention layers as PyTorch lays them out; reads no weights';
