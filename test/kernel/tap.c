/*
 * tap.c
 *		See tap.h; and main.
 */
#include "tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------- results ---------- */

static int	tests = 0;
static int	failures = 0;
static char notes[1024];

void
note(const char *format,...)
{
	va_list		arguments;
	size_t		used = strlen(notes);

	va_start(arguments, format);
	vsnprintf(notes + used, sizeof(notes) - used, format, arguments);
	va_end(arguments);
}

void
ok(bool passed, const char *format,...)
{
	va_list		arguments;

	printf("%s %d - ", passed ? "ok" : "not ok", ++tests);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	if (!passed)
	{
		failures++;
		printf("#   %s\n", notes);
	}
	notes[0] = '\0';
	fflush(stdout);
}

static uint64_t digested = UINT64_C(0xcbf29ce484222325);

/* FNV-1a */
void
digest(const void *data, size_t n)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < n; i++)
		digested = (digested ^ bytes[i]) * UINT64_C(0x100000001b3);
}

bool
same(const void *a, const void *b, size_t n)
{
	return n == 0 || memcmp(a, b, n) == 0;
}

/* ---------- random numbers ---------- */

static uint64_t state;

/* xorshift64* */
uint64_t
draw(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

size_t
draw_below(size_t n)
{
	return (size_t) ((draw() >> 11) % n);
}

void
fill(void *data, size_t n)
{
	uint8_t    *bytes = data;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t) (draw() >> 56);
}

static const uint64_t special_doubles[] = {
	UINT64_C(0), UINT64_C(0x8000000000000000),	/* zeros */
	UINT64_C(1), UINT64_C(0x8000000000000001),	/* the smallest */
	UINT64_C(0x000fffffffffffff),	/* the largest subnormal */
	UINT64_C(0x7fefffffffffffff),	/* the largest */
	UINT64_C(0x7ff0000000000000), UINT64_C(0xfff0000000000000),
	UINT64_C(0x7ff8000000000000), UINT64_C(0xfff8000000000000),
	UINT64_C(0x7ff0000000000001), UINT64_C(0xffffffffffffffff),
};

static const uint32_t special_floats[] = {
	0, 0x80000000, 1, 0x80000001, 0x007fffff, 0x7f7fffff, 0x7f800000,
	0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff,
};

#define NSPECIAL 12

void
fill_doubles(double *x, size_t n, bool special)
{
	for (size_t i = 0; i < n; i++)
	{
		x[i] = ((double) (draw() >> 11) - 0x1p52) * 0x1p-52;
		if (special && draw_below(8) == 0)
			memcpy(x + i, special_doubles + draw_below(NSPECIAL), sizeof(*x));
	}
}

void
fill_floats(float *x, size_t n, bool special)
{
	for (size_t i = 0; i < n; i++)
	{
		x[i] = (float) (((double) (draw() >> 40) - 0x1p23) * 0x1p-23);
		if (special && draw_below(8) == 0)
			memcpy(x + i, special_floats + draw_below(NSPECIAL), sizeof(*x));
	}
}

void
fill_sparse(void *data, size_t n, int width, int per_mille)
{
	uint8_t    *bytes = data;

	memset(data, 0, n * width);
	for (size_t i = 0; i < n; i++)
	{
		size_t		byte = i * width + draw_below(width);

		if (draw_below(1000) >= (size_t) per_mille)
			continue;
		/* A single bit anywhere makes an element a value. */
		if (draw_below(2) == 0)
			fill(bytes + i * width, width);
		bytes[byte] |= (uint8_t) (1 << draw_below(8));
	}
}

/* ---------- buffers ---------- */

static void *buffers[64];
static int	nbuffers = 0;

void *
buffer(size_t n, size_t offset)
{
	char	   *start;

	if (nbuffers == 64 || posix_memalign(&buffers[nbuffers], 64, n + offset))
		abort();
	start = buffers[nbuffers++];
	fill(start, n + offset);
	return start + offset;
}

void
free_buffers(void)
{
	while (nbuffers > 0)
		free(buffers[--nbuffers]);
}

const size_t lengths[] = {
	0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129,
	254, 255, 256, 511, 1000, 4095, 4096, 4097, 10007
};
const int	nlengths = sizeof(lengths) / sizeof(lengths[0]);

int
main(void)
{
	static void (*const files[]) (void) = {
		test_affine, test_bytes, test_cluster, test_compare, test_delta,
		test_drift, test_half, test_histogram, test_keep, test_latency, test_merge, test_norm, test_pack, test_rank,
		test_sparse, test_stats
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
	{
		/* Whatever an earlier file has left out. */
		state = UINT64_C(0x9e3779b97f4a7c15) * (i + 1);
		files[i] ();
	}
	printf("1..%d\n", tests);
	printf("# digest %016llx\n", (unsigned long long) digested);
	return failures > 0;
}
