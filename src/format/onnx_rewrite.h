/*
 * onnx_rewrite.h
 *		Nodes that take tensors and activations in another form.
 *
 * Private to the ONNX writer.
 */
#ifndef MODELOPT_ONNX_REWRITE_H
#define MODELOPT_ONNX_REWRITE_H

#include "format/onnx_activations.h"
#include "format/onnx_native.h"

typedef struct OnnxRewrite
{
	OnnxSurvey *survey;			/* NULL until it is needed */
	OnnxActivations *activations;	/* or NULL */
	const OnnxNative **blocks;	/* tensors that nodes take in blocks, by name */
	int			nblocks;
	bool		raises;			/* operators are of a later version */
} OnnxRewrite;

/* Sorts the tensors in blocks, once all are there. */
extern void onnx_rewrite_sort(OnnxRewrite *rewrite);

/* Appends what is written for a field of the graph that is a node; there is a
 * survey. */
extern void onnx_rewrite_node(const OnnxRewrite *rewrite, const PbField *field,
							  StringInfo out);

#endif							/* MODELOPT_ONNX_REWRITE_H */
