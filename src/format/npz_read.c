/*
 * npz_read.c
 *		Reads .npz and .npy files.
 *
 * Each member of an archive is an array, and each array a tensor of the
 * member's name without ".npy".  Elements are copied or inflated once, straight
 * to where they stay, unless they are in Fortran's order.
 */
#include "postgres.h"

#include "model/elements.h"
#include "format/npz.h"
#include "format/printable.h"
#include "format/zip.h"
#include "kernel/kernel.h"
#include "utils/memutils.h"

/* What deflated members may grow to, against the size of the archive: enough
 * for weights of which one in a hundred is not zero, too little for a bomb. */
#define AMPLIFICATION		128
#define AMPLIFICATION_FREE	(UINT64CONST(16) * 1024 * 1024)

/* An archive without members, as numpy.savez writes it. */
#define EMPTY_ARCHIVE_SIZE	22

/* ---------- one array ---------- */

/* Whether elements lie in another order than in a tensor. */
static bool
is_turned(const NpyHeader *header)
{
	int			longer = 0;

	for (int i = 0; i < header->ndim; i++)
		longer += header->dims[i] > 1;
	return header->fortran_order && longer > 1 && header->count > 0;
}

/* Reads elements whose first index changes fastest, through a copy of them. */
static void
read_turned(ZipReader *reader, const NpyHeader *header, char *dst, uint64 size)
{
	int64		strides[MODEL_MAX_DIMS];
	int64		stride = 1;
	char	   *turned = MemoryContextAllocHuge(CurrentMemoryContext, size);

	zip_reader_read(reader, turned, size);
	for (int i = 0; i < header->ndim; i++)
	{
		strides[i] = stride;
		stride *= header->dims[i];
	}
	elements_gather(dst, turned, dtype_bits(header->dtype->dtype) / 8,
					header->ndim, header->dims, strides);
	pfree(turned);
}

/* Takes the header, which is small, and leaves the elements to be read. */
static void
read_header(const NpyPlace *place, ZipReader *reader, uint64 size,
			NpyHeader *header)
{
	char	   *bytes = palloc(NPY_PREAMBLE + NPY_MAX_HEADER);
	uint64		preamble = Min(size, NPY_PREAMBLE);

	zip_reader_read(reader, bytes, preamble);
	npy_read_preamble(place, bytes, size, header);
	zip_reader_read(reader, bytes + preamble, header->size - preamble);
	npy_read_header(place, bytes, size, header);
	pfree(bytes);
}

static void
read_array(const NpyPlace *place, const ZipEntry *entry, bool check_crc,
		   Model *model)
{
	ZipReader  *reader = zip_reader_create(entry, check_crc);
	NpyHeader	header;
	DType		dtype;
	uint64		size;
	int			payload;
	char	   *dst;

	read_header(place, reader, entry->size, &header);
	dtype = header.dtype->dtype;
	size = entry->size - header.size;
	payload = model_new_payload(model, dtype, ENCODING_DENSE, header.count,
								size);
	dst = model->payloads[payload]->bytes;
	if (is_turned(&header))
		read_turned(reader, &header, dst, size);
	else
		zip_reader_read(reader, dst, size);
	zip_reader_finish(reader);

	if (header.swap && dtype_bits(dtype) > 8)
		elements_swap(dst, size, dtype_bits(dtype) / 8);
	if (dtype == DTYPE_BOOL && !elements_are_bool(dst, size))
		npy_fail(place, "has a boolean that is neither 0 nor 1");
	payload_complete(model->payloads[payload]);
	model_add_tensor(model, place->name, strlen(place->name), header.ndim,
					 header.dims, payload);
}

/* ---------- files ---------- */

static void
check_format(const Format *format, Input *input, const char *what)
{
	uint64		n = Min(input->size, FORMAT_HEAD);
	const char *head = input_view(input, 0, n);

	if (!format->detect(head, n))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("not an %s", what),
				 errdetail("The bytes look like %s.",
						   format_describe(head, n))));
	input_release(input, head);
}

/* A file by itself is what a stored member without a CRC would be. */
Model *
npy_read(Input *input, const ReadOptions *options)
{
	NpyPlace	place = {"npy file", NPY_NAME};
	ZipEntry	entry = {
		.method = ZIP_STORED,.stored = input->size,.size = input->size,
		.input = input
	};
	Model	   *model;

	check_format(&format_npy, input, place.file);
	model = model_create(CurrentMemoryContext);
	read_array(&place, &entry, false, model);
	return model;
}

/* An array's name: that of its member without ".npy". */
static char *
array_name(const ZipEntry *entry)
{
	int			length = entry->name_length - (int) strlen(NPY_SUFFIX);

	if (length <= 0 ||
		memcmp(entry->name + length, NPY_SUFFIX, strlen(NPY_SUFFIX)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid npz file"),
				 errdetail("Its member \"%s\" has no name that ends in \"" NPY_SUFFIX "\".",
						   printable_bytes(entry->name,
										   entry->name_length))));
	return pnstrdup(entry->name, length);
}

/* Nothing is inflated before it is known what all of it will take. */
static void
check_growth(const ZipArchive *zip, size_t size)
{
	uint64		budget = (uint64) size * AMPLIFICATION + AMPLIFICATION_FREE;
	uint64		spent = 0;

	for (int i = 0; i < zip->nentries; i++)
	{
		const ZipEntry *entry = &zip->entries[i];

		if (entry->method == ZIP_STORED)
			continue;
		if (entry->size > budget - spent)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("npz file would grow too much when it is read"),
					 errdetail("Its members would take more than " UINT64_FORMAT " bytes, which its %zu bytes do not justify.",
							   budget, size),
					 errhint("Save it with numpy.savez, which does not compress.")));
		spent += entry->size;
	}
}

static bool
is_empty_archive(Input *input)
{
	char		bytes[EMPTY_ARCHIVE_SIZE];

	if (input->size != sizeof(bytes))
		return false;
	input_copy(input, 0, sizeof(bytes), bytes);
	return memcmp(bytes, "PK\005\006", 4) == 0 &&
		kernel_is_zero(bytes + 4, sizeof(bytes) - 4);
}

Model *
npz_read(Input *input, const ReadOptions *options)
{
	Model	   *model;
	const ZipArchive *zip;

	if (is_empty_archive(input))
		return model_create(CurrentMemoryContext);
	check_format(&format_npz, input, "npz file");
	zip = zip_open_input(input);
	check_growth(zip, input->size);

	model = model_create(CurrentMemoryContext);
	for (int i = 0; i < zip->nentries; i++)
	{
		const ZipEntry *entry = &zip->entries[i];
		NpyPlace	place = {"npz file", array_name(entry)};

		read_array(&place, entry, options->check_crc, model);
	}
	return model;
}
