/*
 * scores.h
 *		What the numbers are that a model gives, as its graph tells.
 *
 * Private to src/serve.
 */
#ifndef MODELOPT_SERVE_SCORES_H
#define MODELOPT_SERVE_SCORES_H

#include "onnx/onnx.h"

typedef enum ScoreSource
{
	SCORES_OF_ANYTHING,			/* between 0 and 1 they are probabilities */
	SCORES_OF_PRODUCT,			/* logits, or values of a regression */
	SCORES_OF_REGRESSION,
} ScoreSource;

/* Of an output of a graph, whose name is UTF-8. */
extern ScoreSource scores_source(OnnxBytes graph, const char *output);

#endif							/* MODELOPT_SERVE_SCORES_H */
