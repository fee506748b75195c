/*
 * onnx_external.c
 *		Elements of tensors in files beside the model.
 *
 * A tensor names a file and a place in it.  Which files it may name is for
 * those to say who open them (Siblings), here only that it names one.
 */
#include "postgres.h"

#include "format/onnx.h"
#include "miscadmin.h"

/* What initializers may have in all, against the bytes that there are: enough
 * for those that share some. */
#define AMPLIFICATION		16
#define AMPLIFICATION_FREE	(UINT64CONST(16) * 1024 * 1024)

/* ---------- reading ---------- */

void
onnx_read_external(const OnnxTensor *tensor, Siblings *siblings, char *dst)
{
	OnnxExternal external;
	uint64		needed = onnx_raw_size(tensor);
	uint64		size;
	char	   *path;
	const char *problem;

	(void) onnx_scan_external(tensor, &external);
	path = onnx_string(external.path);
	size = siblings->size(siblings, path);

	/* Without a length they go to the end of the file. */
	if (external.offset > size || needed > size - external.offset ||
		(!external.has_length && needed != size - external.offset))
		onnx_report_tensor(tensor,
						   psprintf("has its elements outside of the " UINT64_FORMAT " bytes of file %s",
									size, onnx_quote(external.path)));
	siblings->read(siblings, path, external.offset, needed, dst);
	pfree(path);
	problem = onnx_check_bytes(tensor, dst);
	if (problem != NULL)
		onnx_report_tensor(tensor, problem);
}

/* ---------- how much it may be ---------- */

/* A tensor's use of a file. */
typedef struct Use
{
	OnnxBytes	path;
	uint64		size;
} Use;

static int
compare_uses(const void *a, const void *b)
{
	return onnx_compare(((const Use *) a)->path, ((const Use *) b)->path);
}

static Use *
collect_uses(OnnxBytes graph, int *n)
{
	PbReader	reader = onnx_reader(graph);
	PbField		field;
	int			allocated = 64;
	Use		   *uses = palloc(allocated * sizeof(Use));

	*n = 0;
	while (onnx_next(&reader, GRAPH_INITIALIZER, &field))
	{
		OnnxTensor	tensor;
		OnnxExternal external;

		CHECK_FOR_INTERRUPTS();
		onnx_scan_tensor(&tensor, onnx_bytes(&field));
		if (!tensor.has_external)
			continue;
		(void) onnx_scan_external(&tensor, &external);
		if (*n == allocated)
			uses = repalloc_huge(uses, (allocated *= 2) * sizeof(Use));
		uses[*n].path = external.path;
		uses[(*n)++].size = onnx_raw_size(&tensor);
	}
	return uses;
}

/* Many tensors may name the same bytes of a file. */
void
onnx_check_growth(OnnxBytes graph, uint64 size, Siblings *siblings)
{
	int			n;
	Use		   *uses = collect_uses(graph, &n);
	uint64		there = size;
	uint64		budget;

	qsort(uses, n, sizeof(Use), compare_uses);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i == 0 || compare_uses(&uses[i - 1], &uses[i]) != 0)
			there += siblings->size(siblings, onnx_string(uses[i].path));
	}
	budget = there * AMPLIFICATION + AMPLIFICATION_FREE;
	for (int i = 0; i < n; i++)
	{
		if (uses[i].size > budget)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("ONNX model would grow too much when it is read"),
					 errdetail("Its tensors name the same bytes of other files so often that the " UINT64_FORMAT " bytes there are do not justify it.",
							   there)));
		budget -= uses[i].size;
	}
	pfree(uses);
}

/* ---------- writing ---------- */

static void
put_entry(StringInfo out, const char *key, const char *value)
{
	StringInfoData entry;

	initStringInfo(&entry);
	onnx_put_text(&entry, ENTRY_KEY, key);
	onnx_put_text(&entry, ENTRY_VALUE, value);
	onnx_put_message(out, TENSOR_EXTERNAL_DATA, &entry);
	pfree(entry.data);
}

void
onnx_put_external(StringInfo out, const char *path, uint64 offset,
				  uint64 length)
{
	char		digits[24];

	put_entry(out, "location", path);
	snprintf(digits, sizeof(digits), UINT64_FORMAT, offset);
	put_entry(out, "offset", digits);
	snprintf(digits, sizeof(digits), UINT64_FORMAT, length);
	put_entry(out, "length", digits);
	onnx_put_integer(out, TENSOR_DATA_LOCATION, ONNX_EXTERNAL);
}
