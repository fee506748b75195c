/*
 * tensor_sql.c
 *		Tensors as SQL arrays: reading one, replacing one, and making a model
 *		of many.
 *
 * Owns what a real[] and a tensor mean to each other: the same shape, element
 * by element; a tensor without dimensions is an array of one element, and one
 * without elements is the empty array.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "model/model_sql.h"
#include "utils/array.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modelopt_tensor);
PG_FUNCTION_INFO_V1(modelopt_model_set);
PG_FUNCTION_INFO_V1(modelopt_model_agg_transfn);
PG_FUNCTION_INFO_V1(modelopt_model_agg_finalfn);

/* ---------- out of a model ---------- */

/* Raises when an array cannot be as large as the tensor. */
static void
check_fits_array(const Tensor *tensor, int64 count)
{
	if (tensor->ndim > MAXDIM)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("tensor \"%s\" has %d dimensions, and an array can have at most %d",
						utf8_to_server(tensor->name), tensor->ndim, MAXDIM),
				 errhint("Write the model with model_write and read the tensor there.")));
	if (count > (int64) MaxArraySize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("tensor \"%s\" has " INT64_FORMAT " elements, and an array can have at most %d",
						utf8_to_server(tensor->name), count,
						(int) MaxArraySize),
				 errhint("Write the model with model_write and read the tensor there.")));
}

/* An array of so many uninitialised elements in the tensor's shape. */
static ArrayType *
allocate_array(const Tensor *tensor, int64 count)
{
	int			ndim = Max(tensor->ndim, 1);
	Size		size = ARR_OVERHEAD_NONULLS(ndim) + count * sizeof(float4);
	ArrayType  *array = palloc(size);

	SET_VARSIZE(array, size);
	array->ndim = ndim;
	array->dataoffset = 0;
	array->elemtype = FLOAT4OID;
	for (int i = 0; i < ndim; i++)
	{
		ARR_DIMS(array)[i] = tensor->ndim == 0 ? 1 : (int) tensor->dims[i];
		ARR_LBOUND(array)[i] = 1;
	}
	return array;
}

Datum
modelopt_tensor(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	int			index = model_lookup_tensor(model, PG_GETARG_TEXT_PP(1));
	const Tensor *tensor = &model->tensors[index];
	Payload    *payload = tensor_payload(model, tensor);
	PayloadReader *reader;
	ArrayType  *array;
	float4	   *next;
	const void *elements;
	int64		n;

	if (payload->count == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(FLOAT4OID));
	check_fits_array(tensor, payload->count);
	array = allocate_array(tensor, payload->count);
	next = (float4 *) ARR_DATA_PTR(array);
	reader = payload_reader_create(payload);
	while ((n = payload_reader_next(reader, &elements)) > 0)
	{
		dtype_to_float(payload->dtype, elements, 0, n, next);
		next += n;
	}
	payload_reader_free(reader);
	PG_RETURN_ARRAYTYPE_P(array);
}

/* ---------- into a model ---------- */

static void
check_no_nulls(ArrayType *array, const char *name)
{
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("values of tensor \"%s\" must not be null",
						utf8_to_server(name))));
}

static int64
array_count(ArrayType *array)
{
	return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

/* Subscripts of an element, as in "[2][1]". */
static char *
subscripts(ArrayType *array, int64 element)
{
	int			subscript[MAXDIM];
	StringInfoData out;

	for (int i = ARR_NDIM(array) - 1; i >= 0; i--)
	{
		subscript[i] = ARR_LBOUND(array)[i] +
			(int) (element % ARR_DIMS(array)[i]);
		element /= ARR_DIMS(array)[i];
	}
	initStringInfo(&out);
	for (int i = 0; i < ARR_NDIM(array); i++)
		appendStringInfo(&out, "[%d]", subscript[i]);
	return out.data;
}

/*
 * A payload of an array's elements; raises when an element does not fit.  A
 * sparse one ends up dense where that is smaller.
 */
static int
payload_from_array(Model *model, DType dtype, Encoding encoding,
				   ArrayType *array, const char *name)
{
	const float4 *source = (const float4 *) ARR_DATA_PTR(array);
	int64		count = array_count(array);
	PayloadBuilder *builder = NULL;
	int			index = -1;
	char	   *chunk = NULL;

	if (encoding == ENCODING_SPARSE)
	{
		builder = payload_builder_create(model, dtype, count, -1);
		chunk = palloc(dtype_bytes(dtype, Min(count, PAYLOAD_CHUNK)));
	}
	else
		index = model_new_payload(model, dtype, ENCODING_DENSE, count,
								  dtype_bytes(dtype, count));

	for (int64 done = 0; done < count; done += PAYLOAD_CHUNK)
	{
		int64		n = Min(count - done, PAYLOAD_CHUNK);
		char	   *to = chunk;
		int64		unfit;

		CHECK_FOR_INTERRUPTS();
		if (builder == NULL)
			to = model->payloads[index]->bytes + dtype_bytes(dtype, done);
		unfit = dtype_from_float(dtype, source + done, n, to);
		if (unfit >= 0)
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("value %.9g cannot be stored in tensor \"%s\" of dtype %s",
							source[done + unfit], utf8_to_server(name),
							dtype_name(dtype)),
					 errdetail("It is the element at %s.",
							   subscripts(array, done + unfit))));
		if (builder != NULL)
			payload_builder_append(builder, to, n);
	}

	if (builder != NULL)
	{
		pfree(chunk);
		index = payload_builder_finish(builder);
	}
	else
		payload_complete(model->payloads[index]);
	return index;
}

/* ---------- model_set ---------- */

static bool
has_shape(ArrayType *array, const Tensor *tensor, int64 count)
{
	/* An empty array has lost its shape. */
	if (count == 0)
		return ARR_NDIM(array) == 0;
	if (tensor->ndim == 0)
		return ARR_NDIM(array) == 1 && ARR_DIMS(array)[0] == 1;
	if (ARR_NDIM(array) != tensor->ndim)
		return false;
	for (int i = 0; i < tensor->ndim; i++)
	{
		if (ARR_DIMS(array)[i] != tensor->dims[i])
			return false;
	}
	return true;
}

static char *
shape_of_tensor(const Tensor *tensor)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < tensor->ndim; i++)
		appendStringInfo(&out, "%s" INT64_FORMAT, i > 0 ? ", " : "",
						 tensor->dims[i]);
	return out.data;
}

static char *
shape_of_array(ArrayType *array)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < ARR_NDIM(array); i++)
		appendStringInfo(&out, "%s%d", i > 0 ? ", " : "", ARR_DIMS(array)[i]);
	return out.data;
}

static void
check_not_null(FunctionCallInfo fcinfo, int argument, const char *what)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
}

Datum
modelopt_model_set(PG_FUNCTION_ARGS)
{
	Model	   *model;
	const Tensor *tensor;
	ArrayType  *array;
	Payload    *old;
	Model	   *out;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	check_not_null(fcinfo, 1, "name of a tensor");
	check_not_null(fcinfo, 2, "values of a tensor");
	model = PG_GETARG_MODEL(0);
	tensor = &model->tensors[model_lookup_tensor(model, PG_GETARG_TEXT_PP(1))];
	array = PG_GETARG_ARRAYTYPE_P(2);
	old = tensor_payload(model, tensor);
	if (!has_shape(array, tensor, old->count))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array does not have the shape of tensor \"%s\"",
						utf8_to_server(tensor->name)),
				 errdetail("The tensor has shape (%s), and the array has (%s).",
						   shape_of_tensor(tensor), shape_of_array(array)),
				 tensor->ndim == 0 ?
				 errhint("A tensor without dimensions takes an array of one element.") : 0));
	check_no_nulls(array, tensor->name);

	out = model_create_like(CurrentMemoryContext, model);
	for (int i = 0; i < model->npayloads; i++)
	{
		if (i == tensor->payload)
			payload_from_array(out, old->dtype, old->encoding, array,
							   tensor->name);
		else
			model_share_payload(out, model->payloads[i]);
	}
	model_add_tensors_of(out, model);
	PG_RETURN_MODEL(out);
}

/* ---------- model_agg ---------- */

static void
add_array(Model *model, const text *name, ArrayType *array)
{
	char	   *utf8 = text_to_utf8(name);
	int64		dims[MAXDIM] = {0};
	int			ndim = Max(ARR_NDIM(array), 1);	/* '{}' has shape (0) */
	int			payload;

	check_no_nulls(array, utf8);
	for (int i = 0; i < ARR_NDIM(array); i++)
		dims[i] = ARR_DIMS(array)[i];
	payload = payload_from_array(model, DTYPE_F32, ENCODING_DENSE, array,
								 utf8);
	model_add_tensor(model, utf8, strlen(utf8), ndim, dims, payload);
}

/* The state is the model so far. */
Datum
modelopt_model_agg_transfn(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	Model	   *model;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "model_agg_transfn called outside of an aggregate");
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("tensor's name must not be null")));
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("values of tensor \"%s\" must not be null",
						text_to_cstring(PG_GETARG_TEXT_PP(1)))));

	model = PG_ARGISNULL(0) ? model_create(context) :
		(Model *) PG_GETARG_POINTER(0);
	add_array(model, PG_GETARG_TEXT_PP(1), PG_GETARG_ARRAYTYPE_P(2));
	PG_RETURN_POINTER(model);
}

/* Leaves the state as it is, since a window may go on adding to it. */
Datum
modelopt_model_agg_finalfn(PG_FUNCTION_ARGS)
{
	Model	   *model;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "model_agg_finalfn called outside of an aggregate");
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	model = model_copy(CurrentMemoryContext, (Model *) PG_GETARG_POINTER(0));
	model_check_names(model, ERRCODE_INVALID_TEXT_REPRESENTATION);
	PG_RETURN_MODEL(model);
}
