/*
 * labels.c
 *		What is true of a row, in the last column of a query.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "serve/elements.h"
#include "serve/labels.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

typedef struct LabelName
{
	const char *name;
	int			number;
} LabelName;

struct Labels
{
	LabelKind	kind;
	Oid			type;			/* of a label, or an element of one */
	FmgrInfo	out;			/* as text */
	int			nclasses;
	int			nnames;
	LabelName  *names;			/* sorted; NULL when there are none */
	double	   *values;			/* of the label at work */
	int			nvalues;
};

/* ---------- names ---------- */

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const LabelName *) a)->name, ((const LabelName *) b)->name);
}

static void
sort_names(LabelName *names, int n)
{
	qsort(names, n, sizeof(LabelName), compare_names);
	for (int i = 1; i < n; i++)
		if (compare_names(&names[i - 1], &names[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("label \"%s\" is given twice", names[i].name)));
}

static void
set_names(Labels *labels, ArrayType *names)
{
	Datum	   *values;
	bool	   *nulls;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  &labels->nnames);
	labels->names = palloc(Max(labels->nnames, 1) * sizeof(LabelName));
	for (int i = 0; i < labels->nnames; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("names of labels must not be null")));
		labels->names[i] = (LabelName) {TextDatumGetCString(values[i]), i};
	}
	sort_names(labels->names, labels->nnames);
}

void
labels_check_names(const Datum *values, const bool *nulls, int n)
{
	LabelName  *names = palloc(Max(n, 1) * sizeof(LabelName));
	int			nnames = 0;

	for (int i = 0; i < n; i++)
		if (!nulls[i])
			names[nnames++] = (LabelName) {TextDatumGetCString(values[i]), i};
	sort_names(names, nnames);
}

/* ---------- labels ---------- */

static bool
is_number(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return true;
		default:
			return false;
	}
}

/* A label that a double cannot hold is none: 22003. */
static double
number(Oid type, Datum value)
{
	SourceKind	kind = source_kind(type);
	Datum		place;

	if (kind == SOURCE_NUMERIC)
		return DatumGetFloat8(DirectFunctionCall1(numeric_float8, value));
	source_store(kind, value, &place);
	return source_as_double(kind, &place, 0);
}

Labels *
labels_create(Oid type, ArrayType *names)
{
	Labels	   *labels = palloc0(sizeof(Labels));
	Oid			base = getBaseType(type);
	Oid			element = get_element_type(base);
	Oid			out;
	bool		is_varlena;

	labels->type = OidIsValid(element) ? getBaseType(element) : base;
	getTypeOutputInfo(type, &out, &is_varlena);
	fmgr_info(out, &labels->out);
	if (OidIsValid(element) && is_number(labels->type))
		labels->kind = LABEL_NUMBERS;
	else if (is_number(base))
		labels->kind = LABEL_NUMBER;
	else if (base == BOOLOID)
		labels->kind = LABEL_BOOLEAN;
	if (names != NULL)
	{
		set_names(labels, names);
		labels->kind = LABEL_NAME;
	}
	return labels;
}

LabelKind
labels_kind(const Labels *labels)
{
	return labels->kind;
}

void
labels_are_classes(Labels *labels, int nclasses)
{
	labels->nclasses = nclasses;
	if (labels->names != NULL && labels->nnames != nclasses)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d labels for a model that tells %d classes apart",
						labels->nnames, nclasses)));
	if (labels->names == NULL && labels->kind != LABEL_NUMBER && labels->kind != LABEL_BOOLEAN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("labels of type %s do not tell which classes they are",
						format_type_be(labels->kind == LABEL_NUMBERS ?
									   get_array_type(labels->type) : labels->type)),
				 errhint("The argument labels has their names in the order of the model's scores.")));
}

static const LabelName *
find_name(const Labels *labels, const char *name)
{
	LabelName	key = {name};

	return bsearch(&key, labels->names, labels->nnames, sizeof(LabelName), compare_names);
}

/* Some of them, for errors. */
static char *
list_names(const Labels *labels)
{
	StringInfoData out;
	int			n = Min(labels->nnames, 10);

	initStringInfo(&out);
	for (int i = 0; i < n; i++)
		appendStringInfo(&out, "%s\"%s\"", i > 0 ? ", " : "", labels->names[i].name);
	if (n < labels->nnames)
		appendStringInfoString(&out, ", ...");
	return out.data;
}

/* A name as it is written; or of a number, which may be written otherwise (2.0),
 * as a whole one. */
static int
class_of_name(Labels *labels, Datum label, int64 row)
{
	char	   *name = OutputFunctionCall(&labels->out, label);
	const LabelName *found = find_name(labels, name);

	if (found == NULL && is_number(labels->type))
		found = find_name(labels, psprintf("%.0f", number(labels->type, label)));
	if (found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("label \"%s\" is none of those given", name),
				 errdetail("It is in row " INT64_FORMAT " of the query; classes are %s.", row,
						   list_names(labels))));
	pfree(name);
	return found->number;
}

int
labels_class(Labels *labels, Datum label, int64 row)
{
	double		class;

	if (labels->names != NULL)
		return class_of_name(labels, label, row);
	class = labels->kind == LABEL_BOOLEAN ? DatumGetBool(label) : number(labels->type, label);
	if (!(class >= 0 && class < labels->nclasses && class == floor(class)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("label %s is no class of a model that tells %d classes apart",
						OutputFunctionCall(&labels->out, label), labels->nclasses),
				 errdetail("It is in row " INT64_FORMAT " of the query. Classes are numbers from 0, or true and false.", row),
				 errhint("The argument labels gives classes names.")));
	return (int) class;
}

/* ---------- values ---------- */

const double *
labels_values(Labels *labels, Datum label, int n, int64 row)
{
	ArrayType  *array;
	Datum	   *elements;
	bool	   *nulls;
	int			count = 1;

	if (labels->values == NULL)
	{
		labels->values = MemoryContextAlloc(GetMemoryChunkContext(labels), n * sizeof(double));
		labels->nvalues = n;
	}
	Assert(labels->nvalues == n);
	if (labels->kind == LABEL_NUMBERS)
	{
		int16		length;
		bool		is_by_value;
		char		align;

		array = DatumGetArrayTypeP(label);
		get_typlenbyvalalign(labels->type, &length, &is_by_value, &align);
		deconstruct_array(array, labels->type, length, is_by_value, align,
						  &elements, &nulls, &count);
	}
	if (count != n)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("row has %d labels for a model that gives %d values", count, n),
				 errdetail("It is row " INT64_FORMAT " of the query.", row)));
	if (labels->kind == LABEL_NUMBER)
	{
		labels->values[0] = number(labels->type, label);
		return labels->values;
	}
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			return NULL;
		labels->values[i] = number(labels->type, elements[i]);
	}
	return labels->values;
}
