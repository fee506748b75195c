/*
 * onnx_activations.h
 *		Activations that are quantized, too.
 *
 * Private to the ONNX writer.  A model's metadata may say between which numbers
 * the values of its graph lie, as scales and zero points for integers of 8
 * bits, under the key "quantization":
 *
 *		{"activations": {"x": {"scale": 0.02, "zero_point": 128}}}
 *
 * Where a file is written, each of them goes through QuantizeLinear and
 * DequantizeLinear, and the nodes that take it take what comes out.
 */
#ifndef MODELOPT_ONNX_ACTIVATIONS_H
#define MODELOPT_ONNX_ACTIVATIONS_H

#include "format/onnx_build.h"
#include "format/onnx_survey.h"

typedef struct OnnxActivation
{
	OnnxBytes	name;
	float		scale;
	uint8		zero;
	char	   *scale_name;
	char	   *zero_name;
	char	   *quantized;		/* names of the values in between */
	char	   *dequantized;
} OnnxActivation;

typedef struct OnnxActivations
{
	int			n;
	OnnxActivation *items;		/* by name */
	bool		microsoft;		/* operators of ONNX Runtime are used */
} OnnxActivations;

/* Whether the metadata has any. */
extern bool onnx_has_activations(const Model *model);

/* Those that the graph has; raises 22023 for metadata that says it wrongly. */
extern OnnxActivations *onnx_activations(const Model *model,
										 OnnxSurvey *survey);

/* The one of a name, or NULL. */
extern const OnnxActivation *onnx_activation(const OnnxActivations *activations,
											 OnnxBytes name);

/* Appends its two nodes, or its two initializers, as fields of a graph. */
extern void onnx_put_activation_nodes(const OnnxActivations *activations,
									  const OnnxActivation *activation,
									  StringInfo out);
extern void onnx_put_activation_tensors(const OnnxActivation *activation,
										StringInfo out);

#endif							/* MODELOPT_ONNX_ACTIVATIONS_H */
