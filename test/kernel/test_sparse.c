/*
 * test_sparse.c
 *		Packing and unpacking: every variant that this machine can run.
 */
#include "kernel/sparse_variants.h"
#include "tap.h"

#include <string.h>

static const int widths[] = {1, 2, 4, 8};
static const int densities[] = {0, 3, 500, 970, 1000};	/* in a thousand */

/* What packing means. */
static size_t
naive_pack(const uint8_t *src, size_t n, int width, uint8_t *mask,
		   uint8_t *values)
{
	static const uint8_t zero[8];
	size_t		count = 0;

	memset(mask, 0, (n + 7) / 8);
	for (size_t i = 0; i < n; i++)
	{
		if (same(src + i * width, zero, width))
			continue;
		mask[i / 8] |= (uint8_t) (1 << (i % 8));
		memcpy(values + count++ * width, src + i * width, width);
	}
	return count;
}

static bool
pack_and_unpack(const SparseVariant *variant, size_t n, int width,
				int density, size_t offset)
{
	uint8_t    *src = buffer(n * width, offset);
	uint8_t    *mask = buffer((n + 7) / 8, offset);
	uint8_t    *values = buffer(n * width, offset);
	uint8_t    *packed_mask;
	uint8_t    *packed;
	uint8_t    *exact;
	uint8_t    *back = buffer(n * width, offset);
	size_t		count;
	bool		good;

	fill_sparse(src, n, width, density);
	count = naive_pack(src, n, width, mask, values);
	packed_mask = buffer((n + 7) / 8, offset);
	packed = buffer(count * width + 64, offset);
	good = variant->pack(src, n, width, packed_mask, packed) == count &&
		same(mask, packed_mask, (n + 7) / 8) &&
		same(values, packed, count * width);

	/* No value is read that the mask does not announce: there is none. */
	exact = buffer(count * width, offset);
	if (count > 0)
		memcpy(exact, values, count * width);
	good &= variant->unpack(back, n, width, mask, exact) == count &&
		same(back, src, n * width) &&
		kernel_count_nonzero(src, n, width) == count &&
		kernel_popcount(mask, (n + 7) / 8) == count &&
		sparse_announced(mask, n) == count;
	free_buffers();
	if (!good)
		note("n %zu, width %d, density %d, offset %zu; ", n, width, density,
			 offset);
	return good;
}

static bool
variant_works(const SparseVariant *variant, int width)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
		for (int j = 0; j < 5; j++)
			for (size_t offset = 0; offset < 5; offset++)
				good &= pack_and_unpack(variant, lengths[i], width,
										densities[j], offset);
	return good;
}

/* Bits behind the last element announce nothing. */
static bool
ignores_padding(const SparseVariant *variant, int width)
{
	bool		good = true;

	for (size_t n = 1; n < 70; n++)
	{
		uint8_t    *mask = buffer((n + 7) / 8, 0);
		uint8_t    *values = buffer(n * width, 0);
		uint8_t    *back = buffer(n * width, 0);

		memset(mask, 0xff, (n + 7) / 8);
		good &= variant->unpack(back, n, width, mask, values) == n &&
			same(back, values, n * width);
		free_buffers();
	}
	return good;
}

/* Each pattern of eight neighbours, which tables are made for. */
static bool
all_patterns(const SparseVariant *variant, int width)
{
	bool		good = true;

	for (unsigned pattern = 0; pattern < 65536; pattern++)
	{
		uint8_t		src[16 * 8] = {0};
		uint8_t		mask[2];
		uint8_t		values[16 * 8 + 64];
		uint8_t		back[16 * 8];
		size_t		count = (size_t) __builtin_popcount(pattern);

		for (int i = 0; i < 16; i++)
			src[i * width + i % width] = (pattern >> i & 1) * (uint8_t) (i + 1);
		good &= variant->pack(src, 16, width, mask, values) == count &&
			mask[0] == (pattern & 0xff) && mask[1] == pattern >> 8 &&
			variant->unpack(back, 16, width, mask, values) == count &&
			same(back, src, 16 * width);
	}
	return good;
}

void
test_sparse(void)
{
	for (int v = 0; v < kernel_sparse_nvariants; v++)
	{
		const SparseVariant *variant = kernel_sparse_variants[v];

		if (!variant->supported())
		{
			ok(true, "sparse: %s # SKIP this CPU lacks it", variant->name);
			continue;
		}
		for (int w = 0; w < 4; w++)
		{
			ok(variant_works(variant, widths[w]),
			   "sparse: %s packs and unpacks elements of %d bytes",
			   variant->name, widths[w]);
			ok(all_patterns(variant, widths[w]),
			   "sparse: %s, every pattern of sixteen elements of %d bytes",
			   variant->name, widths[w]);
			ok(ignores_padding(variant, widths[w]),
			   "sparse: %s ignores what follows the mask, %d bytes",
			   variant->name, widths[w]);
		}
	}
	{
		SparseVariant chosen = {"the chosen variant", NULL, kernel_sparse_pack,
		kernel_sparse_unpack};

		ok(variant_works(&chosen, 4), "sparse: %s", chosen.name);
	}
}
