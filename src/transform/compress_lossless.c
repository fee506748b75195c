/*
 * compress_lossless.c
 *		The same elements in fewer bytes.
 *
 * Nothing is rounded, so tensors of every dtype and shape are meant.  What is
 * stored rounded already has an encoding that says how, and keeps it.
 */
#include "postgres.h"

#include "model/elements.h"
#include "model/planes.h"
#include "transform/compress.h"

/* Packs a block behind what is packed; false when that is not smaller than
 * the limit. */
static bool
pack_block(KernelPacker *packer, char *scratch, const char *elements,
		   uint32 bytes, DType dtype, char *packed, uint64 *end, uint64 limit,
		   uint32 *size)
{
	*size = kernel_pack(packer, scratch, elements, bytes, planes_width(dtype),
						planes_number(dtype));
	if (*size >= limit - *end)
		return false;
	memcpy(packed + *end, scratch, *size);
	*end += *size;
	return true;
}

/* A whole block of elements, put together from chunks. */
static void
read_block(PayloadReader *reader, DType dtype, char *block, uint32 bytes)
{
	for (uint32 done = 0; done < bytes;)
	{
		const void *elements;
		uint64		n = dtype_bytes(dtype, payload_reader_next(reader, &elements));

		memcpy(block + done, elements, n);
		done += n;
	}
}

/* Into memory of less than the limit; the size, or 0 when that is not enough. */
static uint64
pack(Payload *payload, const Planes *planes, char *packed, uint64 limit)
{
	PayloadReader *reader = payload_reader_create(payload);
	KernelPacker *packer = kernel_packer_init(palloc(kernel_packer_size()));
	char	   *block = palloc(KERNEL_PACK_BLOCK);
	char	   *scratch = palloc(kernel_pack_bound(KERNEL_PACK_BLOCK));
	uint64		end = planes->blocks_at;

	for (int64 i = 0; i < planes->nblocks; i++)
	{
		uint32		bytes = planes_block_bytes(planes, i);
		uint32		size;

		read_block(reader, payload->dtype, block, bytes);
		if (!pack_block(packer, scratch, block, bytes, payload->dtype, packed,
						&end, limit, &size))
			return 0;
		memcpy(packed + i * sizeof(size), &size, sizeof(size));
	}
	payload_reader_free(reader);
	if (end < planes->least)
	{
		memset(packed + end, 0, planes->least - end);
		end = planes->least;
	}
	return end;
}

const char *
compress_lossless(const EncodeTarget *target, const void *request, Model *out)
{
	Payload    *payload = target->payload;
	uint64		limit = payload->stored;
	Planes		planes;
	uint64		size;
	char	   *packed;

	if (payload->encoding == ENCODING_PLANES)
		return "it is packed already";
	if (encoding_info(payload->encoding)->lossy)
		return "its encoding is smaller already";
	planes_plan(&planes, payload->dtype, payload->count);
	if (limit <= Max(planes.blocks_at, planes.least))
		return "it would not become smaller";
	packed = palloc_extended(limit, MCXT_ALLOC_HUGE);
	size = pack(payload, &planes, packed, limit);
	if (size > 0)
		elements_copy(encode_new_payload(out, payload->dtype, ENCODING_PLANES,
										 payload->count, size), packed, size);
	pfree(packed);
	return size > 0 ? NULL : "it would not become smaller";
}
