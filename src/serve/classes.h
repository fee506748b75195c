/*
 * classes.h
 *		Outputs that are scores of classes.
 *
 * A classifier gives a score for each class, or for two classes one, of the
 * second.  Scores that are in [0, 1] and sum up to 1 are probabilities; others
 * become such by the softmax, or one of them by the logistic function, also when
 * it is in [0, 1] but the graph shows that it is a logit.  It may give the label
 * as well.  Private to src/serve.
 */
#ifndef MODELOPT_SERVE_CLASSES_H
#define MODELOPT_SERVE_CLASSES_H

#include "serve/rows.h"

extern bool classes_are_probabilities(const float *scores, int n, ScoreSource source);
extern void classes_softmax(const float *scores, int n, double *probabilities);

/* The most probable class, and how probable it is; -1 and NaN when a score is
 * NaN. */
extern int	classes_best(const float *scores, int n, ScoreSource source,
						 double *probability);

/* Which outputs are scores and, or -1, a label; false when there are no scores. */
extern bool classes_find_outputs(const Session *session, int *scores, int *label);

/* The label that a model gives for a row, or NULL when it is more than one
 * value. */
extern char *classes_label_of_output(const RowOutput *output, int row);

/* The output that has scores in a map, or a map for each row, by the names of
 * classes, as scikit-learn's classifiers are exported; -1 when there is none. */
extern int	classes_find_score_map(const Session *session);

/* The scores of a row there, and their names; returns how many. */
extern int	classes_read_score_map(const Session *session, int i, int64 row,
								   char ***names, float **scores);

#endif							/* MODELOPT_SERVE_CLASSES_H */
