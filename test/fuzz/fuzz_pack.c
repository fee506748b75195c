/*
 * fuzz_pack.c
 *		libFuzzer target: packed blocks, from bytes to elements and back.
 *
 * An input is taken for a block, of just as many bytes as it says, and must
 * unpack to the same whatever was in memory before; and for elements of every
 * kind, which must come back after packing and as a delta from one another.
 */
#include "postgres.h"

#include "harness.h"
#include "kernel/kernel.h"

static const int widths[] = {1, 2, 4, 8};

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once: new memory of this size for each input takes longer than what is
 * done in it. */
static void *
work_memory(void **memory, size_t size)
{
	if (*memory == NULL)
		*memory = malloc(size);
	if (*memory == NULL)
		server_die("no memory to work in");
	return *memory;
}

/* In memory that was filled with a byte. */
static bool
unpack(const char *block, size_t size, char *dst, size_t bytes, uint8 before)
{
	static void *memory = NULL;

	memset(work_memory(&memory, kernel_unpacker_size()), before,
		   kernel_unpacker_size());
	memset(dst, before, bytes);
	return kernel_unpack(kernel_unpacker_init(memory), dst, bytes, block,
						 size);
}

static char *
pack(const char *src, size_t bytes, int width, KernelNumber number,
	 size_t *size)
{
	static void *memory = NULL;
	char	   *room = harness_buffer(kernel_pack_bound(bytes), 0);

	work_memory(&memory, kernel_packer_size());
	*size = kernel_pack(kernel_packer_init(memory), room, src, bytes, width,
						number);
	if (*size > kernel_pack_bound(bytes))
		server_die("a block is larger than its bound");
	return harness_copy(room, *size, 0);
}

/* The input as a block; whether it is one. */
static bool
check_block(const char *block, size_t size)
{
	uint32		bytes = 0;
	char	   *first;
	char	   *second;
	bool		is_block;

	if (size >= 6)
		memcpy(&bytes, block + 2, sizeof(bytes));
	if (bytes > KERNEL_PACK_BLOCK)
		bytes = 0;
	first = harness_buffer(bytes, 1);
	second = harness_buffer(bytes, 0);
	is_block = unpack(block, size, first, bytes, 0x00);
	if (unpack(block, size, second, bytes, 0xff) != is_block ||
		(is_block && memcmp(first, second, bytes) != 0))
		server_die("a block gives something else the second time");
	if (is_block && unpack(block, size, harness_buffer(bytes + 1, 0),
						   bytes + 1, 0))
		server_die("a block is one of another size too");
	return is_block;
}

/* The input as elements. */
static void
check_elements(const char *src, size_t size, int width, KernelNumber number)
{
	size_t		packed_size;
	char	   *packed = pack(src, size, width, number, &packed_size);
	char	   *back = harness_buffer(size, 3);

	if (!unpack(packed, packed_size, back, size, 0x55) ||
		memcmp(back, src, size) != 0)
		server_die("%zu bytes of width %d do not come back", size, width);
}

/* Its first half as a delta from the second. */
static void
check_delta(const char *src, size_t size, int width, KernelNumber number)
{
	size_t		n = size / 2 / width;
	const char *base = src + n * width;
	char	   *delta = harness_buffer(n * width, 1);
	char	   *back = harness_buffer(n * width, 0);
	uint8	   *mask = (uint8 *) harness_buffer((n + 7) / 8, 0);

	kernel_delta_encode(delta, src, base, n, width, number);
	kernel_delta_decode(back, delta, base, n, width, number);
	if (memcmp(back, src, n * width) != 0)
		server_die("%zu elements of width %d do not come back from a delta",
				   n, width);
	if (kernel_mask_of(mask, src, base, n, width))
	{
		kernel_mask_apply(back, base, mask, n, width);
		if (memcmp(back, src, n * width) != 0)
			server_die("%zu elements of width %d do not come back from a mask",
					   n, width);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *input;
	bool		is_block;

	harness_begin(data, size);
	input = harness_copy(data, size, HARNESS_BYTEA_OFFSET);
	is_block = check_block(input, size);
	harness_end();
	for (int i = 0; i < lengthof(widths) * 3 && size <= KERNEL_PACK_BLOCK; i++)
	{
		harness_begin(data, size);
		input = harness_copy(data, size, HARNESS_BYTEA_OFFSET);
		check_elements(input, size, widths[i / 3], i % 3);
		check_delta(input, size, widths[i / 3], i % 3);
		harness_end();
	}
	harness_outcome(is_block);
	return 0;
}
