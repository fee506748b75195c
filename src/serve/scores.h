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
	LABEL_OF_CLASSIFIER,		/* no scores: what the class is called */
} ScoreSource;

/* Of an output of a graph, whose name is UTF-8. */
extern ScoreSource scores_source(OnnxBytes graph, const char *output);

/* The node that makes a value; no bytes when none does. */
extern OnnxBytes scores_find_maker(OnnxBytes graph, OnnxBytes value);

/* The node of a classifier that makes the label of a class; no bytes when the
 * output is none.  (class_names.c) */
extern OnnxBytes label_maker(OnnxBytes graph, const char *output);

/* The names of classes that a label has, in the order of scores, as UTF-8; NULL
 * when the graph does not tell them.  Allocates in the current context. */
extern char **label_class_names(const Model *model, OnnxBytes graph,
								const char *label, int *n);

#endif							/* MODELOPT_SERVE_SCORES_H */
