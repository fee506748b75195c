/*
 * labels.h
 *		What is true of a row, in the last column of a query.
 *
 * Private to src/serve.
 */
#ifndef MODELOPT_SERVE_LABELS_H
#define MODELOPT_SERVE_LABELS_H

#include "postgres.h"

#include "utils/array.h"

typedef enum LabelKind
{
	LABEL_NAME,					/* of a class; what is given a list of names is
								 * one, too */
	LABEL_BOOLEAN,
	LABEL_NUMBER,				/* of a class, or a value */
	LABEL_NUMBERS,				/* an array of values */
} LabelKind;

typedef struct Labels Labels;

/* Labels of an SQL type, with the names of classes in their order or NULL.
 * Allocates in the current context. */
extern Labels *labels_create(Oid type, ArrayType *names);

/* Raises 22023 when one of the names of classes is there twice. */
extern void labels_check_names(const Datum *values, const bool *nulls, int n);

extern LabelKind labels_kind(const Labels *labels);

/* Says that they are of so many classes; raises 22023 when they are not. */
extern void labels_are_classes(Labels *labels, int nclasses);

/* The class of a label; row is its number in the query, for errors. */
extern int	labels_class(Labels *labels, Datum label, int64 row);

/* The values of a label, until the next one; NULL when one of them is null. */
extern const double *labels_values(Labels *labels, Datum label, int n, int64 row);

#endif							/* MODELOPT_SERVE_LABELS_H */
