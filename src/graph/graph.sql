-- Layers, and graphs for models that come without one.

CREATE FUNCTION layers(
    model,
    OUT name text,
    OUT kind text,
    OUT tensors integer,
    OUT parameters bigint,
    OUT bytes bigint
) RETURNS SETOF record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 50
    AS 'MODULE_PATHNAME', 'modelopt_layers';
COMMENT ON FUNCTION layers(model) IS
    'tensors grouped by layer, in order of first appearance: by their names up to the last dot, or by the node of the model''s graph that takes them where a name has no dot; kind is what the metadata''s object "layer_kinds" says, else what the graph computes with them, else recognized by names and shapes (a transposed convolution looks like a convolution, a group norm like a layer norm), else null; parameters and bytes of tied tensors count in the first layer that has them; reads no weights';

CREATE FUNCTION layer_tensors(model, OUT layer text, OUT tensor text) RETURNS SETOF record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 100
    AS 'MODULE_PATHNAME', 'modelopt_layer_tensors';
COMMENT ON FUNCTION layer_tensors(model) IS
    'the tensors of each layer that layers() has, in the same order; reads no weights';

CREATE FUNCTION set_graph(m model, architecture text) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'modelopt_set_graph_text';
COMMENT ON FUNCTION set_graph(model, text) IS
    'the model with a graph, so that model_write(m, ''onnx'') and what asks for a graph work; tensors are those of a PyTorch state_dict, and the graph computes what PyTorch does. architecture: steps with blanks between, each an operator on what the step before it made, as in ''conv1:conv2d(padding=1) bn1:batchnorm relu maxpool(2) flatten fc:linear softmax''. A step is [name:]operator[(arguments)]; the name is the prefix of its tensors (fc of fc.weight and fc.bias), and what later steps call its output by. Operators: input(shape without the batch, like 3x32x32; needed only when the first layer does not tell), linear, conv1d, conv2d and conv3d (stride, padding: a number, sizes like 1x2 or same; dilation, groups), batchnorm and layernorm (eps, 1e-5 by default), embedding (of the model''s input, tokens), attention (heads; self-attention as PyTorch''s MultiheadAttention with batch_first), relu, gelu, silu, tanh, sigmoid, leaky_relu (alpha, 0.01 by default), softmax (axis, the last by default), dropout, flatten (all but the batch), maxpool and avgpool (kernel, stride, padding), global_maxpool, global_avgpool, add (names of steps; the current value is added to a single one) and concat (likewise, axis, 1 by default). from=name has a step take the output of an earlier one, "input" being the model''s. A NOTICE names tensors that no step uses. Text that begins with [ or { is JSON, as the jsonb form has it. A graph that the model had is replaced. Null for a null model; a null architecture is an error (22004). Raises 22023 for what does not fit, with the step, 42704 for a tensor that is not there, 54000 beyond 4096 steps';

CREATE FUNCTION set_graph(m model, architecture jsonb) RETURNS model
    LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'modelopt_set_graph_jsonb';
COMMENT ON FUNCTION set_graph(model, jsonb) IS
    'the same with an array of steps, each an object with op, name and options, or a string as in the text form: [{"op": "conv2d", "name": "conv1", "padding": [1, 1]}, "relu", {"op": "add", "from": ["a", "b"]}]; names here may have any characters';
