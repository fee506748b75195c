/*
 * onnx_survey.h
 *		Who uses what in a graph.
 *
 * Private to src/format.  Made in one pass over a model that has been checked;
 * names are sorted, so that questions take no second one.
 */
#ifndef MODELOPT_ONNX_SURVEY_H
#define MODELOPT_ONNX_SURVEY_H

#include "format/onnx.h"

/* A node of the graph takes a value. */
typedef struct OnnxUse
{
	OnnxBytes	name;
	OnnxBytes	node;
	int			input;			/* its place among the node's */
} OnnxUse;

typedef struct OnnxSurvey
{
	OnnxBytes	graph;
	int64		opset;			/* of ONNX's own operators */
	bool		has_microsoft;	/* imports ONNX Runtime's */
	bool		has_nested;		/* a node has a graph of its own */
	bool		has_functions;
	OnnxUse    *uses;
	int			nuses;
	OnnxBytes  *names;			/* of all values, nested ones too */
	int			nnames;
	OnnxBytes  *inputs;
	int			ninputs;
	OnnxBytes  *outputs;
	int			noutputs;
} OnnxSurvey;

extern OnnxSurvey *onnx_survey(OnnxBytes model);

/* The uses of a value by nodes of the graph itself. */
extern const OnnxUse *onnx_uses_of(const OnnxSurvey *survey, OnnxBytes name,
								   int *n);
extern bool onnx_is_input(const OnnxSurvey *survey, OnnxBytes name);
extern bool onnx_is_output(const OnnxSurvey *survey, OnnxBytes name);

/* A name that no value has, made of two parts. */
extern char *onnx_new_name(const OnnxSurvey *survey, const char *base,
						   const char *suffix);

/* A node's operator, when it is one of ONNX's own; else no bytes. */
extern OnnxBytes onnx_operator(OnnxBytes node);

/* An integer attribute of a node, otherwise if it has none of that name; the
 * first one of a list, and a float, likewise. */
extern int64 onnx_attribute(OnnxBytes node, const char *name, int64 otherwise);
extern int64 onnx_attribute_first(OnnxBytes node, const char *name,
								  int64 otherwise);
extern float onnx_attribute_float(OnnxBytes node, const char *name,
								  float otherwise);

#endif							/* MODELOPT_ONNX_SURVEY_H */
