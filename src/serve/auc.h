/*
 * auc.h
 *		Area under the receiver operating characteristic.
 *
 * It takes all scores in their order, so they are sorted: within work_mem, and
 * in temporary files beyond it.  Private to src/serve.
 */
#ifndef MODELOPT_SERVE_AUC_H
#define MODELOPT_SERVE_AUC_H

#include "postgres.h"

typedef struct AucSort AucSort;

/* Allocates in the current context. */
extern AucSort *auc_create(void);

/* A row's score for a class, which must not be NaN, and whether it is that. */
extern void auc_add(AucSort *sort, int nth_class, double score, bool is_class);

/*
 * The mean over so many classes, each against all others; ends the sort.  False
 * when it is not defined: a class has all rows or none.
 */
extern bool auc_finish(AucSort *sort, int nclasses, double *area);

#endif							/* MODELOPT_SERVE_AUC_H */
