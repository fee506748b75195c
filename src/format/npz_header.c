/*
 * npz_header.c
 *		The header of an .npy file: a signature, a version, a length, and a dict
 *		in Python's notation.
 *
 * numpy evaluates the dict as a Python literal.  Here it is a small grammar:
 * the three keys that there are, strings without escapes, True and False, a
 * tuple of decimal integers.  Nothing else is in what numpy and others write.
 */
#include "postgres.h"

#include "compat.h"

#include "common/int.h"
#include "format/npz.h"
#include "format/printable.h"
#include "mb/pg_wchar.h"

/* numpy pads so that elements start at a multiple of this. */
#define HEADER_ALIGNMENT	64

/* numpy leaves room for so many digits of the first dimension, to let an array
 * grow in place. */
#define GROWTH_DIGITS		21

typedef struct HeaderScan
{
	const NpyPlace *place;
	const char *text;
	size_t		size;
	size_t		at;				/* next byte */
} HeaderScan;

void
npy_fail(const NpyPlace *place, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid %s", place->file),
			 errdetail("Array \"%s\" %s.",
					   pg_any_to_server(place->name, strlen(place->name),
										PG_UTF8), problem)));
	pg_unreachable();
}

/* ---------- the notation ---------- */

/* What is wrong is a clause: "there is no ...". */
pg_noreturn static void
scan_fail(const HeaderScan *scan, const char *problem)
{
	npy_fail(scan->place,
			 psprintf("has a header that cannot be read: %s at byte %zu",
					  problem, scan->at));
}

static void
skip_space(HeaderScan *scan)
{
	while (scan->at < scan->size &&
		   (scan->text[scan->at] == ' ' || scan->text[scan->at] == '\t' ||
			scan->text[scan->at] == '\n' || scan->text[scan->at] == '\r'))
		scan->at++;
}

static bool
scan_accept(HeaderScan *scan, char mark)
{
	skip_space(scan);
	if (scan->at >= scan->size || scan->text[scan->at] != mark)
		return false;
	scan->at++;
	return true;
}

static void
scan_expect(HeaderScan *scan, char mark)
{
	if (!scan_accept(scan, mark))
	{
		char		problem[] = "there is no \"?\"";

		problem[13] = mark;
		scan_fail(scan, problem);
	}
}

/* A string in single or double quotes; not NUL-terminated. */
static const char *
scan_string(HeaderScan *scan, size_t *length)
{
	char		quote = scan_accept(scan, '"') ? '"' : '\'';
	size_t		start;

	if (quote == '\'')
		scan_expect(scan, '\'');
	start = scan->at;
	while (scan->at < scan->size && scan->text[scan->at] != quote)
	{
		char		c = scan->text[scan->at];

		if (c < ' ' || c > '~' || c == '\\')
			scan_fail(scan, "there is a character that no string here has");
		scan->at++;
	}
	if (scan->at >= scan->size)
		scan_fail(scan, "there is a string without end");
	*length = scan->at++ - start;
	return scan->text + start;
}

static bool
scan_bool(HeaderScan *scan)
{
	static const char *const words[] = {"False", "True"};

	skip_space(scan);
	for (int i = 0; i < lengthof(words); i++)
	{
		size_t		length = strlen(words[i]);

		if (scan->size - scan->at >= length &&
			memcmp(scan->text + scan->at, words[i], length) == 0)
		{
			scan->at += length;
			return i == 1;
		}
	}
	scan_fail(scan, "there is neither True nor False");
	return false;
}

/* Decimal digits; Python 2 wrote an L after them. */
static int64
scan_integer(HeaderScan *scan)
{
	int64		value = 0;
	size_t		start;

	skip_space(scan);
	start = scan->at;
	while (scan->at < scan->size && scan->text[scan->at] >= '0' &&
		   scan->text[scan->at] <= '9')
	{
		if (pg_mul_s64_overflow(value, 10, &value) ||
			pg_add_s64_overflow(value, scan->text[scan->at] - '0', &value))
			scan_fail(scan, "there is a number that is too large");
		scan->at++;
	}
	if (scan->at == start)
		scan_fail(scan, "there is no decimal number");
	if (scan->text[start] == '0' && scan->at - start > 1)
		scan_fail(scan, "there is a number that starts with 0");
	if (scan->at < scan->size && scan->text[scan->at] == 'L')
		scan->at++;
	return value;
}

/* ---------- what is in the dict ---------- */

/*
 * A dtype is a byte order, a letter for the kind and the bytes of an element.
 * Python objects are pickles, which may do anything when they are loaded; they
 * are refused in words of their own.
 */
static void
scan_dtype(HeaderScan *scan, NpyHeader *header)
{
	const char *descr;
	size_t		length;
	bool		ordered;

	skip_space(scan);
	if (scan->at < scan->size &&
		(scan->text[scan->at] == '[' || scan->text[scan->at] == '('))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("array \"%s\" has several fields, which a tensor cannot have",
						pg_any_to_server(scan->place->name,
										 strlen(scan->place->name), PG_UTF8)),
				 errhint("Save each field as an array of its own.")));
	descr = scan_string(scan, &length);
	ordered = length > 0 && strchr("<>|=", descr[0]) != NULL;
	header->swap = ordered && descr[0] == '>';
	for (int i = 0; i < npy_ndtypes; i++)
	{
		if (length - ordered == 2 &&
			memcmp(descr + ordered, npy_dtypes[i].name, 2) == 0)
			header->dtype = &npy_dtypes[i];
	}
	if (header->dtype != NULL)
		return;
	if (length > ordered && descr[ordered] == 'O')
		npy_fail(scan->place, "has Python objects, which are a pickle that is never loaded");
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("array \"%s\" has dtype \"%s\", which a tensor cannot have",
					pg_any_to_server(scan->place->name,
									 strlen(scan->place->name), PG_UTF8),
					printable_bytes(descr, length)),
			 errhint("Convert it with astype before it is saved.")));
}

/* A tuple; one of a single number has a comma after it. */
static void
scan_shape(HeaderScan *scan, NpyHeader *header)
{
	bool		comma = true;

	scan_expect(scan, '(');
	while (!scan_accept(scan, ')'))
	{
		if (!comma)
			scan_fail(scan, "there is no \",\"");
		if (header->ndim == MODEL_MAX_DIMS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("array has too many dimensions"),
					 errdetail("A tensor can have at most %d dimensions.",
							   MODEL_MAX_DIMS)));
		header->dims[header->ndim++] = scan_integer(scan);
		comma = scan_accept(scan, ',');
	}
	if (header->ndim == 1 && !comma)
		scan_fail(scan, "there is a number instead of a shape");
}

static void
scan_dict(HeaderScan *scan, NpyHeader *header)
{
	static const char *const keys[] = {"descr", "fortran_order", "shape"};
	bool		seen[lengthof(keys)] = {false};
	bool		comma = true;

	scan_expect(scan, '{');
	while (!scan_accept(scan, '}'))
	{
		size_t		length;
		const char *key;
		int			i = 0;

		if (!comma)
			scan_fail(scan, "there is no \",\"");
		key = scan_string(scan, &length);
		while (i < lengthof(keys) && (length != strlen(keys[i]) ||
									  memcmp(key, keys[i], length) != 0))
			i++;
		if (i == lengthof(keys))
			scan_fail(scan, "there is a key other than descr, fortran_order and shape");
		if (seen[i])
			scan_fail(scan, "there is a key for the second time");
		seen[i] = true;
		scan_expect(scan, ':');
		if (i == 0)
			scan_dtype(scan, header);
		else if (i == 1)
			header->fortran_order = scan_bool(scan);
		else
			scan_shape(scan, header);
		comma = scan_accept(scan, ',');
	}
	skip_space(scan);
	if (scan->at < scan->size)
		scan_fail(scan, "there is something after the dict");
	if (!seen[0] || !seen[1] || !seen[2])
		npy_fail(scan->place, "has a header without descr, fortran_order or shape");
}

/* ---------- the header ---------- */

void
npy_read_preamble(const NpyPlace *place, const char *data, uint64 size,
				  NpyHeader *header)
{
	const uint8 *bytes = (const uint8 *) data;
	uint64		length;

	memset(header, 0, sizeof(NpyHeader));
	if (size < NPY_SIGNATURE_SIZE ||
		memcmp(data, NPY_SIGNATURE, NPY_SIGNATURE_SIZE) != 0)
		npy_fail(place, "does not start like an npy file");
	if (size < NPY_PREAMBLE)
		npy_fail(place, "is cut off in its header");
	if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("version %d.%d of the npy format is not supported",
						bytes[6], bytes[7]),
				 errdetail("Array \"%s\" is in this version; 1.0, 2.0 and 3.0 are read.",
						   pg_any_to_server(place->name, strlen(place->name),
											PG_UTF8))));
	header->start = bytes[6] == 1 ? NPY_PREAMBLE - 2 : NPY_PREAMBLE;
	length = bytes[8] | (uint64) bytes[9] << 8;
	if (bytes[6] > 1)
		length |= (uint64) bytes[10] << 16 | (uint64) bytes[11] << 24;
	if (length > NPY_MAX_HEADER)
		npy_fail(place,
				 psprintf("has a header of " UINT64_FORMAT " bytes, which is more than the %d that are read",
						  length, NPY_MAX_HEADER));
	if (length > size - header->start)
		npy_fail(place, "is cut off in its header");
	header->size = header->start + length;
	if (header->size < NPY_PREAMBLE)
		npy_fail(place, "has a header without descr, fortran_order or shape");
}

void
npy_read_header(const NpyPlace *place, const char *data, uint64 size,
				NpyHeader *header)
{
	HeaderScan	scan = {.place = place};
	uint64		elements;

	scan.text = data + header->start;
	scan.size = header->size - header->start;
	scan_dict(&scan, header);
	if (!shape_count(header->ndim, header->dims, &header->count))
		npy_fail(place, "has too many elements");
	elements = dtype_bytes(header->dtype->dtype, header->count);
	if (elements != size - header->size)
		npy_fail(place,
				 psprintf("announces elements of " UINT64_FORMAT " bytes, and " UINT64_FORMAT " follow",
						  elements, size - header->size));
}

/* ---------- writing ---------- */

static const NpyDType *
find_dtype(const Tensor *tensor, DType dtype)
{
	for (int i = 0; i < npy_ndtypes; i++)
	{
		if (npy_dtypes[i].dtype == dtype)
			return &npy_dtypes[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("NumPy has no arrays of dtype %s", dtype_name(dtype)),
			 errdetail("Tensor \"%s\" has this dtype.",
					   pg_any_to_server(tensor->name, strlen(tensor->name),
										PG_UTF8)),
			 dtype == DTYPE_BF16 ?
			 errhint("Formats safetensors and pytorch have it.") : 0));
	return NULL;
}

/* Room for the first dimension to grow, as numpy leaves it. */
static void
put_growth(StringInfo out, const Tensor *tensor)
{
	char		digits[24];

	if (tensor->ndim > 0)
		appendStringInfoSpaces(out, GROWTH_DIGITS -
							   snprintf(digits, sizeof(digits), INT64_FORMAT,
										tensor->dims[0]));
}

/*
 * Version 1.0 is enough: the longest shape there is takes less than a
 * kilobyte.  Byte by byte what numpy.save writes.
 */
void
npy_put_header(StringInfo out, const Model *model, const Tensor *tensor)
{
	const NpyDType *dtype = find_dtype(tensor,
									   tensor_payload(model, tensor)->dtype);
	int			start = out->len;
	int			length;

	appendBinaryStringInfo(out, NPY_SIGNATURE "\001\000\000\000",
						   NPY_SIGNATURE_SIZE + 4);
	appendStringInfo(out, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
					 dtype->name[1] == '1' ? '|' : '<', dtype->name);
	for (int i = 0; i < tensor->ndim; i++)
		appendStringInfo(out, i > 0 ? ", " INT64_FORMAT : INT64_FORMAT,
						 tensor->dims[i]);
	appendStringInfoString(out, tensor->ndim == 1 ? ",), }" : "), }");
	put_growth(out, tensor);
	appendStringInfoSpaces(out, HEADER_ALIGNMENT -
						   (out->len - start + 1) % HEADER_ALIGNMENT);
	appendStringInfoChar(out, '\n');

	length = out->len - start - (NPY_SIGNATURE_SIZE + 4);
	out->data[start + NPY_SIGNATURE_SIZE + 2] = (char) (length & 0xff);
	out->data[start + NPY_SIGNATURE_SIZE + 3] = (char) (length >> 8);
}
