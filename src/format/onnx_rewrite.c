/*
 * onnx_rewrite.c
 *		Nodes that take tensors and activations in another form.
 */
#include "postgres.h"

#include "format/onnx_raise.h"
#include "format/onnx_rewrite.h"

/* ---------- tensors in blocks ---------- */

static int
compare_natives(const void *a, const void *b)
{
	return onnx_compare((*(const OnnxNative *const *) a)->taken_as,
						(*(const OnnxNative *const *) b)->taken_as);
}

void
onnx_rewrite_sort(OnnxRewrite *rewrite)
{
	qsort(rewrite->blocks, rewrite->nblocks, sizeof(OnnxNative *),
		  compare_natives);
}

/* The tensor that nodes are to take in blocks instead of a value, or NULL. */
static const OnnxNative *
find_blocks(const OnnxRewrite *rewrite, OnnxBytes name)
{
	OnnxNative	key = {.taken_as = name};
	const OnnxNative *wanted = &key;
	const OnnxNative **found = bsearch(&wanted, rewrite->blocks, rewrite->nblocks,
									   sizeof(OnnxNative *), compare_natives);

	return found == NULL ? NULL : *found;
}

/* ---------- a node ---------- */

/* Copies a node with other inputs. */
static void
put_renamed(StringInfo out, OnnxBytes node, char **inputs)
{
	PbReader	reader = onnx_reader(node);
	PbField		field;
	StringInfoData message;
	int			n = 0;

	initStringInfo(&message);
	while (pb_next(&reader, &field))
	{
		if (field.number == NODE_INPUT)
			onnx_put_text(&message, NODE_INPUT, inputs[n++]);
		else
			appendBinaryStringInfo(&message, field.start,
								   (int) (field.end - field.start));
	}
	onnx_put_bytes(out, GRAPH_NODE, message.data, message.len);
	pfree(message.data);
}

/* The names that a node takes, as they are to be; *blocks is the tensor that
 * it takes in blocks.  False when nothing changes. */
static bool
rename_inputs(const OnnxRewrite *rewrite, OnnxBytes node, char ***inputs,
			  int *ninputs, const OnnxNative **blocks)
{
	PbReader	reader = onnx_reader(node);
	PbField		field;
	bool		changed = false;
	int			allocated = 8;

	*inputs = palloc(allocated * sizeof(char *));
	*ninputs = 0;
	*blocks = NULL;
	while (onnx_next(&reader, NODE_INPUT, &field))
	{
		OnnxBytes	name = onnx_bytes(&field);
		const OnnxActivation *activation = onnx_activation(rewrite->activations,
														   name);

		if (*ninputs == allocated)
			*inputs = repalloc(*inputs, (allocated *= 2) * sizeof(char *));
		changed |= activation != NULL;
		(*inputs)[*ninputs] = activation != NULL ?
			activation->dequantized : onnx_string(name);
		if (*ninputs == 1)
			*blocks = find_blocks(rewrite, name);
		(*ninputs)++;
	}
	return changed || *blocks != NULL;
}

/* Appends the nodes that quantize what a node makes. */
static void
put_quantizers(const OnnxRewrite *rewrite, OnnxBytes node, StringInfo out)
{
	PbReader	reader = onnx_reader(node);
	PbField		field;

	while (onnx_next(&reader, NODE_OUTPUT, &field))
	{
		const OnnxActivation *activation = onnx_activation(rewrite->activations,
														   onnx_bytes(&field));

		if (activation != NULL)
			onnx_put_activation_nodes(rewrite->activations, activation, out);
	}
}

static void
rewrite_node(const OnnxRewrite *rewrite, OnnxBytes node, StringInfo out)
{
	const OnnxNative *blocks;
	char	  **inputs;
	int			ninputs;

	if (!rename_inputs(rewrite, node, &inputs, &ninputs, &blocks))
		onnx_put_bytes(out, GRAPH_NODE, node.data, node.size);
	else if (blocks != NULL)
		onnx_native_replace(blocks, rewrite->survey, node, inputs, ninputs, out);
	else
		put_renamed(out, node, inputs);
	pfree(inputs);
}

void
onnx_rewrite_node(const OnnxRewrite *rewrite, const PbField *field,
				  StringInfo out)
{
	OnnxBytes	node = onnx_bytes(field);
	StringInfoData raised;

	/* The Transpose of a tensor in blocks has nobody left who takes it. */
	if (find_blocks(rewrite, onnx_get(node, NODE_OUTPUT)) != NULL)
		return;
	initStringInfo(&raised);
	if (rewrite->raises && onnx_raise_node(node, &raised))
		rewrite_node(rewrite, (OnnxBytes) {raised.data, raised.len}, out);
	else
		rewrite_node(rewrite, node, out);
	put_quantizers(rewrite, node, out);
	pfree(raised.data);
}
