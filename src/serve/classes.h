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

extern bool classes_have_nan(const float *scores, int n);
extern bool classes_are_probabilities(const float *scores, int n, ScoreSource source);
extern void classes_softmax(const float *scores, int n, double *probabilities);

/* The most probable class, and how probable it is; -1 and NaN when a score is
 * NaN. */
extern int	classes_best(const float *scores, int n, ScoreSource source,
						 double *probability);

/* Which outputs say what class a row is of. */
typedef struct ClassOutputs
{
	int			scores;			/* a tensor; or else a map, or one for each row,
								 * by the names of classes, as scikit-learn's
								 * classifiers are exported */
	bool		by_name;		/* if that */
	int			label;			/* or -1 */
} ClassOutputs;

/* With scores in the output of that name (UTF-8), or with NULL the first that
 * may have them; false when there are none, and then scores is -1 or the output
 * of that name. */
extern bool classes_find_outputs(const Session *session, const char *name,
								 ClassOutputs *outputs);

/* Raises that there are none. */
pg_noreturn extern void classes_none(const Session *session, const ClassOutputs *outputs);

/* Raises 0A000 when a row of an output is no scores. */
extern void classes_check_scores(const RowOutput *output);

/* Names for classes, in the order of scores, of which some may be null. */
typedef struct ClassNames
{
	int			n;
	Datum	   *values;
	bool	   *nulls;
	bool		checked;		/* that none is there twice */
} ClassNames;

extern ClassNames *classes_read_names(ArrayType *array);

/* The label of a row, NULL when it has none, and how probable it is.  Without
 * labels it is the model's, or the number of the class. */
extern char *classes_answer(const RowBatch *batch, const ClassOutputs *outputs, int row,
							ClassNames *labels, double *probability);

/* The scores of a row there, and their names; returns how many. */
extern int	classes_read_score_map(const Session *session, int i, int64 row,
								   char ***names, float **scores);

#endif							/* MODELOPT_SERVE_CLASSES_H */
