/*
 * npz_read.c
 *		Reads .npz and .npy files.
 *
 * Each member of an archive is an array, and each array a tensor of the
 * member's name without ".npy".  Elements are copied once, turned round where
 * they are big endian or in Fortran's order.
 */
#include "postgres.h"

#include "format/npz.h"
#include "format/pickle.h"
#include "format/strided.h"
#include "format/zip.h"
#include "kernel/kernel.h"
#include "miscadmin.h"

/* Bytes copied between two looks for interrupts. */
#define STRETCH ((uint64) 4 * 1024 * 1024)

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

static void
copy_turned(char *dst, const char *src, const NpyHeader *header)
{
	int64		strides[MODEL_MAX_DIMS];
	int64		stride = 1;

	for (int i = 0; i < header->ndim; i++)
	{
		strides[i] = stride;
		stride *= header->dims[i];
	}
	strided_copy(dst, src, dtype_bits(header->dtype->dtype) / 8,
				 header->ndim, header->dims, strides);
}

static void
copy_elements(const NpyPlace *place, char *dst, const char *src, uint64 size,
			  const NpyHeader *header)
{
	int			width = dtype_bits(header->dtype->dtype) / 8;
	bool		turned = is_turned(header);

	if (turned)
		copy_turned(dst, src, header);
	for (uint64 done = 0; done < size; done += STRETCH)
	{
		uint64		n = Min(STRETCH, size - done);

		CHECK_FOR_INTERRUPTS();
		if (!turned)
			memcpy(dst + done, src + done, n);
		if (header->swap && width > 1)
			kernel_byteswap(dst + done, n / width, width);
		if (header->dtype->dtype == DTYPE_BOOL &&
			!kernel_is_bool((const uint8 *) dst + done, n))
			npy_fail(place, "has a boolean that is neither 0 nor 1");
	}
}

static void
read_array(const NpyPlace *place, const char *data, uint64 size, Model *model)
{
	NpyHeader	header;
	int			payload;

	npy_read_header(place, data, size, &header);
	payload = model_new_payload(model, header.dtype->dtype, ENCODING_DENSE,
								header.count, size - header.size);
	copy_elements(place, model->payloads[payload]->bytes, data + header.size,
				  size - header.size, &header);
	model_add_tensor(model, place->name, strlen(place->name), header.ndim,
					 header.dims, payload);
}

/* ---------- files ---------- */

static void
report_other(const char *what, const char *data, size_t size)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("not an %s", what),
			 errdetail("The bytes look like %s.",
					   format_describe(data, size))));
}

Model *
npy_read(const char *data, size_t size, const ReadOptions *options)
{
	NpyPlace	place = {"npy file", NPY_NAME};
	Model	   *model;

	if (!format_npy.detect(data, size))
		report_other(place.file, data, size);
	model = model_create(CurrentMemoryContext);
	read_array(&place, data, size, model);
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
						   pickle_printable(entry->name,
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
is_empty_archive(const char *data, size_t size)
{
	return size == EMPTY_ARCHIVE_SIZE && memcmp(data, "PK\005\006", 4) == 0 &&
		kernel_is_zero(data + 4, size - 4);
}

Model *
npz_read(const char *data, size_t size, const ReadOptions *options)
{
	Model	   *model;
	const ZipArchive *zip;

	if (is_empty_archive(data, size))
		return model_create(CurrentMemoryContext);
	if (!format_npz.detect(data, size))
		report_other("npz file", data, size);
	zip = zip_open(data, size);
	check_growth(zip, size);

	model = model_create(CurrentMemoryContext);
	for (int i = 0; i < zip->nentries; i++)
	{
		const ZipEntry *entry = &zip->entries[i];
		NpyPlace	place = {"npz file", array_name(entry)};
		const char *bytes = zip_read(entry, options->check_crc);

		read_array(&place, bytes, entry->size, model);
		if (entry->method != ZIP_STORED)
			pfree(unconstify(char *, bytes));
	}
	return model;
}
