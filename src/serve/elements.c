/*
 * elements.c
 *		Values of SQL as elements of tensors, and back.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "compat.h"
#include "miscadmin.h"
#include "serve/elements.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

/* Values that are written between two looks for interrupts. */
#define STRETCH ((int64) 65536)

/* ---------- types ---------- */

DType
element_dtype(int type)
{
	static const uint8 dtypes[] = {
		[ELEMENT_F32] = DTYPE_F32,[ELEMENT_U8] = DTYPE_U8,
		[ELEMENT_I8] = DTYPE_I8,[ELEMENT_U16] = DTYPE_U16,
		[ELEMENT_I16] = DTYPE_I16,[ELEMENT_I32] = DTYPE_I32,
		[ELEMENT_I64] = DTYPE_I64,[ELEMENT_BOOL] = DTYPE_BOOL,
		[ELEMENT_F16] = DTYPE_F16,[ELEMENT_F64] = DTYPE_F64,
		[ELEMENT_U32] = DTYPE_U32,[ELEMENT_U64] = DTYPE_U64,
		[ELEMENT_BF16] = DTYPE_BF16,[ELEMENT_F8E4M3FN] = DTYPE_F8E4M3,
		[ELEMENT_F8E4M3FNUZ] = DTYPE_F8E4M3FNUZ,
		[ELEMENT_F8E5M2] = DTYPE_F8E5M2,
		[ELEMENT_F8E5M2FNUZ] = DTYPE_F8E5M2FNUZ,
		[ELEMENT_U4] = DTYPE_U4,[ELEMENT_I4] = DTYPE_I4,
	};

	return type > 0 && type < lengthof(dtypes) ? dtypes[type] : DTYPE_INVALID;
}

const char *
element_name(int type)
{
	DType		dtype = element_dtype(type);

	return type == ELEMENT_STRING ? "string" :
		dtype == DTYPE_INVALID ? "of another type" : dtype_name(dtype);
}

static bool
find_kind(Oid type, SourceKind *kind)
{
	switch (type)
	{
		case FLOAT4OID:
			*kind = SOURCE_F32;
			return true;
		case FLOAT8OID:
			*kind = SOURCE_F64;
			return true;
		case INT2OID:
			*kind = SOURCE_I16;
			return true;
		case INT4OID:
			*kind = SOURCE_I32;
			return true;
		case INT8OID:
			*kind = SOURCE_I64;
			return true;
		case BOOLOID:
			*kind = SOURCE_BOOL;
			return true;
		case NUMERICOID:
			*kind = SOURCE_NUMERIC;
			return true;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			*kind = SOURCE_TEXT;
			return true;
	}
	return false;
}

SourceKind
source_kind(Oid type)
{
	SourceKind	kind;

	/* Domains are rare, and looking what they are of costs. */
	if (!find_kind(type, &kind) && !find_kind(getBaseType(type), &kind))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("values of type %s cannot be features", format_type_be(type)),
				 errhint("Features are numbers, booleans or texts.")));
	return kind;
}

int
source_width(SourceKind kind)
{
	static const uint8 widths[] = {
		[SOURCE_F32] = sizeof(float4),[SOURCE_F64] = sizeof(float8),
		[SOURCE_I16] = sizeof(int16),[SOURCE_I32] = sizeof(int32),
		[SOURCE_I64] = sizeof(int64),[SOURCE_BOOL] = sizeof(bool),
		[SOURCE_NUMERIC] = sizeof(Datum),[SOURCE_TEXT] = sizeof(Datum),
	};

	return widths[kind];
}

void
source_store(SourceKind kind, Datum value, void *dst)
{
	switch (kind)
	{
		case SOURCE_F32:
			*(float4 *) dst = DatumGetFloat4(value);
			break;
		case SOURCE_F64:
			*(float8 *) dst = DatumGetFloat8(value);
			break;
		case SOURCE_I16:
			*(int16 *) dst = DatumGetInt16(value);
			break;
		case SOURCE_I32:
			*(int32 *) dst = DatumGetInt32(value);
			break;
		case SOURCE_I64:
			*(int64 *) dst = DatumGetInt64(value);
			break;
		case SOURCE_BOOL:
			*(bool *) dst = DatumGetBool(value);
			break;
		case SOURCE_NUMERIC:
		case SOURCE_TEXT:
			*(Datum *) dst = value;
			break;
	}
}

/* Of fixed width and without nulls, an array has its values one after another
 * as they are wanted; others are taken apart. */
void
source_of_array(ArraySource *source, ArrayType *array)
{
	Oid			type = ARR_ELEMTYPE(array);
	Datum	   *datums;
	bool	   *nulls;
	char	   *values;
	int16		length;
	bool		by_value;
	char		align;
	int			n;

	source->kind = source_kind(type);
	source->nulls = NULL;
	if (!ARR_HASNULL(array) && source->kind < SOURCE_NUMERIC)
	{
		source->count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
		source->values = ARR_DATA_PTR(array);
		return;
	}
	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(array, type, length, by_value, align, &datums, &nulls, &n);
	values = palloc_extended((Size) Max(n, 1) * source_width(source->kind), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		source_store(source->kind, nulls[i] ? (Datum) 0 : datums[i],
					 values + (Size) i * source_width(source->kind));
	source->count = n;
	source->values = values;
	source->nulls = ARR_HASNULL(array) ? nulls : NULL;
}

/* ---------- writing ---------- */

double
source_as_double(SourceKind kind, const void *values, int64 i)
{
	switch (kind)
	{
		case SOURCE_F32:
			return ((const float4 *) values)[i];
		case SOURCE_F64:
			return ((const float8 *) values)[i];
		case SOURCE_I16:
			return ((const int16 *) values)[i];
		case SOURCE_I32:
			return ((const int32 *) values)[i];
		case SOURCE_I64:
			return ((const int64 *) values)[i];
		case SOURCE_BOOL:
			return ((const bool *) values)[i];
		case SOURCE_NUMERIC:
			return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
													  ((const Datum *) values)[i]));
		case SOURCE_TEXT:
			break;
	}
	elog(ERROR, "a text is no number");
}

char *
elements_complaint(SourceKind kind, const void *values, int64 i, int type,
				   const char *name)
{
	Datum		value = kind == SOURCE_NUMERIC ?
		DirectFunctionCall1(numeric_out, ((const Datum *) values)[i]) :
		DirectFunctionCall1(float8out, Float8GetDatum(source_as_double(kind, values, i)));
	char	   *digits = DatumGetCString(value);

	return psprintf("value %.40s%s does not fit input \"%s\", whose elements are %s",
					digits, strlen(digits) > 40 ? "..." : "", name, element_name(type));
}

/* The digits of a number that is whole, or NULL. */
static char *
whole_digits(Datum number)
{
	Datum		whole = DirectFunctionCall2(numeric_trunc, number, Int32GetDatum(0));

	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number, whole)))
		return NULL;
	return DatumGetCString(DirectFunctionCall1(numeric_out, whole));
}

/* Whether it is one.  Integers beyond 2^53 are not to be rounded on their way. */
static bool
value_as_integer(SourceKind kind, const void *values, int64 i, int64 *result)
{
	double		value;

	if (kind == SOURCE_I64)
	{
		*result = ((const int64 *) values)[i];
		return true;
	}
	if (kind == SOURCE_NUMERIC)
	{
		char	   *digits = whole_digits(((const Datum *) values)[i]);
		char	   *end;

		if (digits == NULL)
			return false;
		errno = 0;
		*result = strtoi64(digits, &end, 10);
		return errno == 0 && end != digits && *end == '\0';
	}
	value = source_as_double(kind, values, i);
	if (!(value >= -9223372036854775808.0 && value < 9223372036854775808.0) ||
		value != rint(value))
		return false;
	*result = (int64) value;
	return true;
}

static int64
write_integers(SourceKind kind, const void *values, int64 n, int type,
			   void *dst)
{
	static const struct
	{
		int64		least;
		int64		most;
	}			ranges[] = {
		[ELEMENT_U8] = {0, PG_UINT8_MAX},[ELEMENT_I8] = {PG_INT8_MIN, PG_INT8_MAX},
		[ELEMENT_U16] = {0, PG_UINT16_MAX},[ELEMENT_I16] = {PG_INT16_MIN, PG_INT16_MAX},
		[ELEMENT_I32] = {PG_INT32_MIN, PG_INT32_MAX},
		[ELEMENT_I64] = {PG_INT64_MIN, PG_INT64_MAX},[ELEMENT_BOOL] = {0, 1},
		[ELEMENT_U32] = {0, PG_UINT32_MAX},[ELEMENT_U64] = {0, PG_INT64_MAX},
	};
	int			bytes = element_bits(type) / 8;

	for (int64 i = 0; i < n; i++)
	{
		int64		value;

		if (!value_as_integer(kind, values, i, &value) ||
			value < ranges[type].least || value > ranges[type].most)
			return i;
		switch (bytes)
		{
			case 1:
				((uint8 *) dst)[i] = value;
				break;
			case 2:
				((uint16 *) dst)[i] = value;
				break;
			case 4:
				((uint32 *) dst)[i] = value;
				break;
			case 8:
				((uint64 *) dst)[i] = value;
				break;
		}
	}
	return -1;
}

/* Only numerics reach the upper half. */
static int64
write_u64(const Datum *values, int64 n, uint64 *dst)
{
	for (int64 i = 0; i < n; i++)
	{
		char	   *digits = whole_digits(values[i]);
		char	   *end;

		if (digits == NULL || digits[0] == '-')
			return i;
		errno = 0;
		dst[i] = strtou64(digits, &end, 10);
		if (errno != 0 || end == digits || *end != '\0')
			return i;
	}
	return -1;
}

/* Small floats by way of floats, as everybody does. */
static int64
write_small_floats(SourceKind kind, const void *values, int64 n, int type,
				   void *dst)
{
	float		chunk[256];
	float		written[256];
	DType		dtype = element_dtype(type);

	for (int64 first = 0; first < n; first += lengthof(chunk))
	{
		int64		length = Min(n - first, lengthof(chunk));
		void	   *place = (char *) dst + dtype_bytes(dtype, first);

		for (int64 i = 0; i < length; i++)
			chunk[i] = source_as_double(kind, values, first + i);
		(void) dtype_from_float(dtype, chunk, length, place);
		dtype_to_float(dtype, place, 0, length, written);
		for (int64 i = 0; i < length; i++)
			if (!isfinite(written[i]) && isfinite(chunk[i]))
				return first + i;
	}
	return -1;
}

/* Numbers do not become infinite on their way. */
static bool
is_infinite(SourceKind kind, const void *values, int64 i)
{
	if (kind == SOURCE_NUMERIC)
		return numeric_is_inf(DatumGetNumeric(((const Datum *) values)[i]));
	return isinf(source_as_double(kind, values, i));
}

static int64
write_f32(SourceKind kind, const void *values, int64 n, float *dst)
{
	if (kind == SOURCE_F32)
	{
		memcpy(dst, values, n * sizeof(float));
		return -1;
	}
	for (int64 i = 0; i < n; i++)
	{
		dst[i] = source_as_double(kind, values, i);
		if (isinf(dst[i]) && !is_infinite(kind, values, i))
			return i;
	}
	return -1;
}

static int64
write_f64(SourceKind kind, const void *values, int64 n, double *dst)
{
	for (int64 i = 0; i < n; i++)
	{
		dst[i] = source_as_double(kind, values, i);
		if (isinf(dst[i]) && !is_infinite(kind, values, i))
			return i;
	}
	return -1;
}

static int64
write_stretch(SourceKind kind, const void *values, int64 n, int type,
			  void *dst, const char *name)
{
	switch (type)
	{
		case ELEMENT_F32:
			return write_f32(kind, values, n, dst);
		case ELEMENT_F64:
			return write_f64(kind, values, n, dst);
		case ELEMENT_F16:
		case ELEMENT_BF16:
		case ELEMENT_F8E4M3FN:
		case ELEMENT_F8E4M3FNUZ:
		case ELEMENT_F8E5M2:
		case ELEMENT_F8E5M2FNUZ:
			return write_small_floats(kind, values, n, type, dst);
		case ELEMENT_U8:
		case ELEMENT_I8:
		case ELEMENT_U16:
		case ELEMENT_I16:
		case ELEMENT_I32:
		case ELEMENT_I64:
		case ELEMENT_BOOL:
		case ELEMENT_U32:
			return write_integers(kind, values, n, type, dst);
		case ELEMENT_U64:
			if (kind == SOURCE_NUMERIC)
				return write_u64(values, n, dst);
			return write_integers(kind, values, n, type, dst);
	}
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("input \"%s\" cannot be given", name),
			 errdetail("Its elements are %s.", element_name(type))));
}

int64
elements_write(SourceKind kind, const void *values, int64 n, int type,
			   void *dst, const char *name)
{
	Assert(kind != SOURCE_TEXT);
	for (int64 at = 0; at < n; at += STRETCH)
	{
		int64		bad = write_stretch(kind, (const char *) values + at * source_width(kind),
										Min(n - at, STRETCH), type,
										(char *) dst + at * (element_bits(type) / 8), name);

		if (bad >= 0)
			return at + bad;
		CHECK_FOR_INTERRUPTS();
	}
	return -1;
}

/* ---------- reading ---------- */

pg_noreturn static void
refuse_whole(const char *value, const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("value %s of output \"%s\" is no number of type real", value, name),
			 errhint("The argument output names another one, classify() gives labels, and predict_json() all outputs as they are.")));
}

/* Those of 64 bits may be no double either. */
static void
check_whole(int type, const void *elements, const double *values, int64 n,
			const char *name)
{
	for (int64 i = 0; i < n; i++)
	{
		double		value = (float) values[i];

		if (value != values[i])
			refuse_whole(psprintf("%.0f", values[i]), name);
		if (type == ELEMENT_I64 && !(value < 0x1p63 && (int64) value == ((const int64 *) elements)[i]))
			refuse_whole(psprintf(INT64_FORMAT, ((const int64 *) elements)[i]), name);
		if (type == ELEMENT_U64 && !(value < 0x1p64 && (uint64) value == ((const uint64 *) elements)[i]))
			refuse_whole(psprintf(UINT64_FORMAT, ((const uint64 *) elements)[i]), name);
	}
}

void
elements_to_floats(int type, const void *elements, int64 first, int64 n,
				   float *dst, const char *name)
{
	DType		dtype = element_dtype(type);
	double		chunk[256];

	if (type == ELEMENT_F32)
	{
		memcpy(dst, (const float *) elements + first, n * sizeof(float));
		return;
	}
	if (dtype == DTYPE_INVALID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("output \"%s\" has no numbers", name),
				 errdetail("Its elements are %s.", element_name(type)),
				 errhint("The argument output names another one, classify() gives labels, and predict_json() all outputs as they are.")));
	if (dtype_bits(dtype) < 32)
	{
		dtype_to_float(dtype, elements, first, n, dst);
		return;
	}
	for (int64 at = 0; at < n; at += lengthof(chunk))
	{
		int64		length = Min(n - at, lengthof(chunk));

		dtype_to_double(dtype, elements, first + at, length, chunk);
		if (type != ELEMENT_F64)
			check_whole(type, (const char *) elements + (first + at) * (dtype_bits(dtype) / 8),
						chunk, length, name);
		for (int64 i = 0; i < length; i++)
			dst[at + i] = chunk[i];
	}
}

char *
string_element(const ServedTensor *tensor, int64 count, int64 i)
{
	/* The runner could change them after they are checked. */
	const volatile uint64 *offsets = tensor->data;
	const char *bytes = (const char *) (offsets + count + 1);
	uint64		size = tensor->bytes - (count + 1) * sizeof(uint64);
	uint64		start = offsets[i];
	uint64		end = offsets[i + 1];
	char	   *copy;

	if (start > end || end > size || end - start > MaxAllocSize / 2)
		elog(ERROR, "model runner gave a string that does not exist");
	copy = pnstrdup(bytes + start, end - start);
	if (strlen(copy) != end - start ||
		pg_encoding_verifymbstr(PG_UTF8, copy, end - start) != end - start)
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("model gave a string that is no text"),
				 errdetail("A text is UTF-8 and has no zero byte.")));
	return pg_any_to_server(copy, end - start, PG_UTF8);
}
