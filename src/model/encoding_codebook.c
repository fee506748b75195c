/*
 * encoding_codebook.c
 *		A few values, and for each element which: codebook.h.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "model/codebook.h"
#include "model/encoding.h"

#define KIND "clustered"

typedef struct CodebookHeader
{
	uint8		bits;
	uint8		zero;
	uint16		nvalues;
	uint8		zero2[60];
} CodebookHeader;

StaticAssertDecl(sizeof(CodebookHeader) == MODEL_ALIGNMENT, "codebook header");
StaticAssertDecl(PAYLOAD_CHUNK % 8 == 0, "codes of a chunk are whole bytes");

/* ---------- layout ---------- */

static uint64
codes_size(int64 count, int bits)
{
	return (uint64) count / 8 * bits + ((uint64) count % 8 * bits + 7) / 8;
}

bool
codebook_plan(Codebook *codebook)
{
	uint64		end;

	if (!dtype_is_float(codebook->dtype) || codebook->count <= 0 ||
		codebook->bits < 1 || codebook->bits > CODEBOOK_MAX_BITS ||
		codebook->nvalues < 1 || codebook->nvalues > 1 << codebook->bits)
		return false;
	codebook->values_at = sizeof(CodebookHeader);
	end = codebook->values_at + dtype_bytes(codebook->dtype,
											codebook->nvalues);
	codebook->codes_at = (end + MODEL_ALIGNMENT - 1) &
		~(uint64) (MODEL_ALIGNMENT - 1);
	codebook->stored = codebook->codes_at + codes_size(codebook->count,
													   codebook->bits);
	return true;
}

static uint64
values_end(const Codebook *codebook)
{
	return codebook->values_at + dtype_bytes(codebook->dtype,
											 codebook->nvalues);
}

void
codebook_put_header(const Codebook *codebook, char *payload)
{
	CodebookHeader header = {0};

	header.bits = codebook->bits;
	header.nvalues = codebook->nvalues;
	memcpy(payload, &header, sizeof(header));
	memset(payload + values_end(codebook), 0,
		   codebook->codes_at - values_end(codebook));
}

static const char *
parse_header(const CodebookHeader *header, const Payload *payload,
			 Codebook *codebook)
{
	if (header->zero != 0 ||
		!kernel_is_zero(header->zero2, sizeof(header->zero2)))
		return "A clustered payload's header is wrong.";
	codebook->dtype = payload->dtype;
	codebook->count = payload->count;
	codebook->bits = header->bits;
	codebook->nvalues = header->nvalues;
	if (!codebook_plan(codebook) || codebook->stored != payload->stored)
		return "A clustered payload's header does not fit its size.";
	return NULL;
}

void
codebook_get_header(Payload *payload, Codebook *codebook)
{
	CodebookHeader header;
	const char *problem;

	payload_copy_part(payload, 0, sizeof(header), (char *) &header);
	problem = parse_header(&header, payload, codebook);
	if (problem != NULL)
		encoding_corrupt(KIND, problem);
}

/* ---------- checking ---------- */

static const char *
check_size(DType dtype, int64 count, uint64 stored)
{
	if (!dtype_is_float(dtype) || count == 0 ||
		stored < sizeof(CodebookHeader) || stored >= dtype_bytes(dtype, count) ||
		stored - sizeof(CodebookHeader) < codes_size(count, 1))
		return "A clustered payload's size or dtype does not fit its number of elements.";
	return NULL;
}

/* Whether every code has a value, and nothing comes after the last. */
static const char *
check_codes(const Codebook *codebook, const char *payload)
{
	const uint8 *codes = (const uint8 *) payload + codebook->codes_at;
	uint8		chunk[4096];
	int			tail = codebook->count % 8 * codebook->bits % 8;

	for (int64 done = 0; done < codebook->count; done += lengthof(chunk))
	{
		int64		n = Min(codebook->count - done, (int64) lengthof(chunk));

		kernel_unpack_bits(chunk, codes, n, codebook->bits);
		codes += codes_size(n, codebook->bits);
		for (int64 i = 0; i < n; i++)
		{
			if (chunk[i] >= codebook->nvalues)
				return "A clustered payload has a code without a value.";
		}
	}
	if (tail != 0 && (codes[-1] >> tail) != 0)
		return "A clustered payload has something after its last element.";
	return NULL;
}

static const char *
verify(const Payload *payload)
{
	CodebookHeader header;
	Codebook	codebook;
	const char *problem;

	memcpy(&header, payload->bytes, sizeof(header));
	problem = parse_header(&header, payload, &codebook);
	if (problem != NULL)
		return problem;
	if (!kernel_is_zero(payload->bytes + values_end(&codebook),
						codebook.codes_at - values_end(&codebook)))
		return "A clustered payload has something after its values.";
	return check_codes(&codebook, payload->bytes);
}

/* ---------- reading ---------- */

typedef struct CodebookReader
{
	Codebook	codebook;
	ByteStream	codes;
	char	   *values;			/* a value for any byte */
	uint8	   *indexes;		/* codes of a chunk */
	char	   *chunk;
} CodebookReader;

static void *
begin(Payload *payload)
{
	CodebookReader *reader = palloc(sizeof(CodebookReader));
	int64		largest = Min(payload->count, PAYLOAD_CHUNK);

	codebook_get_header(payload, &reader->codebook);
	stream_init(&reader->codes, payload, reader->codebook.codes_at,
				payload->stored);
	reader->values = palloc0(dtype_bytes(payload->dtype, CODEBOOK_MAX));
	payload_copy_part(payload, reader->codebook.values_at,
					  dtype_bytes(payload->dtype, reader->codebook.nvalues),
					  reader->values);
	reader->indexes = palloc(largest);
	reader->chunk = palloc(dtype_bytes(payload->dtype, largest) +
						   MODEL_ALIGNMENT);
	return reader;
}

static const void *
next(void *state, int64 n)
{
	CodebookReader *reader = state;
	int			bits = reader->codebook.bits;

	kernel_unpack_bits(reader->indexes,
					   stream_take(&reader->codes, codes_size(n, bits)), n,
					   bits);
	kernel_lookup(reader->chunk, reader->indexes, n, reader->values,
				  dtype_bits(reader->codebook.dtype) / 8);
	return reader->chunk;
}

static void
end(void *state)
{
	CodebookReader *reader = state;

	stream_free(&reader->codes);
	pfree(reader->values);
	pfree(reader->indexes);
	pfree(reader->chunk);
	pfree(reader);
}

const EncodingMethods encoding_codebook = {
	check_size, verify, begin, next, end
};
