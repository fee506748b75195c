/*
 * prune_unstructured.c
 *		Pruning the elements of the lowest rank, over one tensor or many.
 *
 * The threshold is found without sorting and mostly in one pass: a sample
 * says between which two keys it should lie; the pass counts what is below
 * the two and collects what is between them, a percent or so; the threshold
 * is selected there.  A second pass writes the result.  When the sample was
 * unlucky, the threshold is found digit by digit instead, with a pass for
 * each digit, so the sample decides how fast this is and never what comes out.
 */
#include "postgres.h"

#include <math.h>

#include "kernel/kernel.h"
#include "model/progress.h"
#include "transform/prune.h"

/* So few elements are all collected; of more, so many are drawn. */
#define SAMPLE_SIZE 262144

/* The bracket's half width, in standard deviations of a sampled rank: the
 * threshold misses it once in a million times. */
#define BRACKET_DEVIATIONS 5.0

typedef struct Ranking
{
	const PruneRequest *request;
	int			ntargets;
	PruneTarget **targets;
	Payload   **payloads;		/* of the targets, in memory */
	uint64	   *seeds;			/* for each target, if random */
	int64	   *gone;			/* for each target, a lower bound; or NULL */
	int			width;			/* of keys */
	int64		total;			/* elements */
	int64		k;				/* how many of them go */
	uint64		threshold;		/* what is below goes */
	int64		ties;			/* and so many that equal it */

	/* a block, and what is made of it */
	uint64		keys[PRUNE_BLOCK];
	double		elements[PRUNE_BLOCK];
	uint8		keep[PRUNE_BLOCK];
} Ranking;

static bool
is_random(const Ranking *ranking)
{
	return ranking->request->method == PRUNE_RANDOM;
}

/* ---------- keys ---------- */

/* Random, with the elements that are zero already before all others. */
static void
put_zeros_first(DType dtype, const void *elements, int64 n, uint64 *keys)
{
	double		values[64];

	for (int64 done = 0; done < n; done += lengthof(values))
	{
		int64		m = Min(n - done, (int64) lengthof(values));

		dtype_to_double(dtype, elements, done, m, values);
		for (int64 i = 0; i < m; i++)
		{
			if (values[i] == 0)
				keys[done + i] = 0;
		}
	}
}

/* Fills ranking->keys for n elements of a target; the first one's index is
 * what random keys are made of. */
static void
make_keys(Ranking *ranking, int target, const void *elements, int64 first,
		  int64 n)
{
	DType		dtype = ranking->payloads[target]->dtype;

	if (!is_random(ranking))
	{
		prune_magnitude_keys(dtype, elements, 0, n, ranking->width,
							 ranking->keys);
		return;
	}
	kernel_random_keys(ranking->seeds[target], first, n, ranking->keys);
	if (ranking->request->amount.of_remaining)
		put_zeros_first(dtype, elements, n, ranking->keys);
}

/* ---------- sample ---------- */

/* The element at an index, or, of a sparse payload that stores its values
 * together, one that is drawn as often; the rest are zeros. */
static void
draw_element(Payload *payload, int width, int64 index, void *element)
{
	uint64		values = 0;

	if (lazy_has_elements(payload))
	{
		lazy_read_elements(payload, index, 1, element);
		return;
	}
	if (payload->encoding == ENCODING_SPARSE)
	{
		if (index >= sparse_value_count(payload))
		{
			memset(element, 0, width);
			return;
		}
		values = sparse_mask_size(payload->count);
	}
	if (encoding_has_blocks(payload->encoding))
	{
		float		value = payload_block_element(payload, index);

		memcpy(element, &value, width);
		return;
	}
	payload_copy_part(payload, values + index * width, width, element);
}

/* Draws n elements of a target, one at a random place in each of n stretches
 * of the same length: rows of weights repeat themselves, a fixed step might
 * hit the same column each time. */
static void
draw_sample(Ranking *ranking, int target, int64 n, char *sample)
{
	Payload    *payload = ranking->payloads[target];
	int			width = dtype_bits(payload->dtype) / 8;
	double		stretch = (double) payload->count / n;

	for (int64 done = 0; done < n; done += PRUNE_BLOCK)
	{
		int64		m = Min(n - done, PRUNE_BLOCK);

		kernel_random_keys(0, done, m, ranking->keys);
		for (int64 i = 0; i < m; i++)
		{
			double		place = (ranking->keys[i] >> 11) * 0x1p-53;
			int64		index = (int64) ((done + i + place) * stretch);

			draw_element(payload, width, Min(index, payload->count - 1),
						 (char *) ranking->elements + i * width);
		}
		make_keys(ranking, target, ranking->elements, done, m);
		memcpy(sample + done * ranking->width, ranking->keys,
			   m * ranking->width);
	}
}

/* Sets the bracket, and the room for what it should hold. */
static void
choose_bracket(Ranking *ranking, KernelBracket *bracket)
{
	double		share = (double) (ranking->k - 1) / ranking->total;
	int64		drawn = 0;
	char	   *sample;
	double		center;
	double		margin;
	int64		below;

	sample = palloc((SAMPLE_SIZE + ranking->ntargets) * (Size) ranking->width);
	for (int i = 0; i < ranking->ntargets; i++)
	{
		int64		count = ranking->payloads[i]->count;
		int64		n = (int64) ceil((double) count / ranking->total * SAMPLE_SIZE);

		n = Min(n, SAMPLE_SIZE + ranking->ntargets - drawn);
		draw_sample(ranking, i, n, sample + drawn * ranking->width);
		drawn += n;
	}

	center = share * drawn;
	margin = BRACKET_DEVIATIONS * sqrt(center * (1 - share)) + 2;
	if (center - margin > 0)
		bracket->low = select_key(sample, drawn, ranking->width,
									(int64) (center - margin), &below);
	if (center + margin < drawn)
		bracket->high = select_key(sample, drawn, ranking->width,
									 (int64) (center + margin), &below);
	bracket->room = (size_t) (4 * margin / drawn * ranking->total) + PRUNE_BLOCK;
	pfree(sample);
}

/* ---------- threshold ---------- */

/* One pass over all elements. */
static void
scan_bracket(Ranking *ranking, KernelBracket *bracket)
{
	for (int i = 0; i < ranking->ntargets; i++)
	{
		int64		before = bracket->below;
		PruneReader reader;
		const void *elements;
		int64		first;
		int64		n;

		prune_reader_init(&reader, ranking->payloads[i]);
		while ((n = prune_reader_next(&reader, &elements, &first)) > 0)
		{
			make_keys(ranking, i, elements, first, n);
			kernel_bracket_scan(bracket, ranking->keys, n, ranking->width);
		}
		ranking->gone[i] = bracket->below - before;
	}
}

/* Sets the threshold from what a pass found; false if it is not there. */
static bool
threshold_in_bracket(Ranking *ranking, const KernelBracket *bracket)
{
	int64		rank = ranking->k - 1 - bracket->below;
	int64		below = 0;

	if (rank < 0)
		return false;
	if (rank < bracket->at_low)
	{
		ranking->threshold = bracket->low;
		ranking->ties = rank + 1;
		return true;
	}
	rank -= bracket->at_low;
	if (rank < bracket->nbetween)
	{
		if (bracket->nbetween > (int64) bracket->room)
			return false;
		ranking->threshold = select_key(bracket->between, bracket->nbetween,
										  ranking->width, rank, &below);
		ranking->ties = rank + 1 - below;
		return true;
	}
	rank -= bracket->nbetween;
	ranking->threshold = bracket->high;
	ranking->ties = rank + 1;
	return rank < bracket->at_high;
}

static bool
find_threshold_by_sample(Ranking *ranking)
{
	KernelBracket bracket = {0};
	bool		found;

	bracket.high = ranking->width == 4 ? PG_UINT32_MAX : PG_UINT64_MAX;
	if (ranking->total <= SAMPLE_SIZE)
		bracket.room = ranking->total;
	else
		choose_bracket(ranking, &bracket);
	bracket.between = palloc_extended(bracket.room * ranking->width,
									  MCXT_ALLOC_HUGE);
	scan_bracket(ranking, &bracket);
	found = threshold_in_bracket(ranking, &bracket);
	pfree(bracket.between);
	return found;
}

static void
find_threshold_by_digits(Ranking *ranking)
{
	int64		rank = ranking->k - 1;

	ranking->threshold = 0;
	for (int shift = kernel_top_digit(ranking->width); shift >= 0;
		 shift -= KERNEL_DIGIT_BITS)
	{
		int64		counts[KERNEL_DIGITS] = {0};

		for (int i = 0; i < ranking->ntargets; i++)
		{
			PruneReader reader;
			const void *elements;
			int64		first;
			int64		n;

			prune_reader_init(&reader, ranking->payloads[i]);
			while ((n = prune_reader_next(&reader, &elements, &first)) > 0)
			{
				make_keys(ranking, i, elements, first, n);
				kernel_count_digits(ranking->keys, n, ranking->width,
									ranking->threshold, shift, counts);
			}
		}
		kernel_descend(counts, shift, &ranking->threshold, &rank);
	}
	ranking->ties = rank + 1;
}

/* Of elements that go for certain, the bracket's pass knows how many are in
 * each target. */
static void
find_threshold(Ranking *ranking)
{
	ranking->gone = palloc0(ranking->ntargets * sizeof(int64));
	if (ranking->k == 0 || find_threshold_by_sample(ranking))
		return;
	pfree(ranking->gone);
	ranking->gone = NULL;
	find_threshold_by_digits(ranking);
}

/* ---------- result ---------- */

static void
write_target(Ranking *ranking, int target, Model *out)
{
	Payload    *payload = ranking->payloads[target];
	bool		of_remaining = ranking->request->amount.of_remaining;

	/* A zero that stays may be -0, which is stored as a value. */
	int64		nonzero = ranking->gone == NULL || of_remaining ? -1 :
		payload->count - ranking->gone[target];
	PruneWriter *writer = prune_writer_create(out, nonzero,
											  ranking->targets[target]);
	PruneReader reader;
	const void *elements;
	int64		first;
	int64		n;

	prune_reader_init(&reader, payload);
	while ((n = prune_reader_next(&reader, &elements, &first)) > 0)
	{
		make_keys(ranking, target, elements, first, n);
		kernel_keep_above(ranking->keys, n, ranking->width,
						  ranking->threshold, &ranking->ties, ranking->keep);
		if (of_remaining)
			kernel_keep_zero_keys(ranking->keys, n, ranking->width,
								  ranking->keep);
		prune_writer_append(writer, elements, ranking->keep, n);
	}
	prune_writer_finish(writer);
}

/* Loads the payloads and counts what there is. */
static Ranking *
ranking_create(PruneTarget **targets, int ntargets,
			   const PruneRequest *request)
{
	Ranking    *ranking = palloc0(sizeof(Ranking));
	uint64		room = (uint64) payload_spill_above * 1024;

	ranking->request = request;
	ranking->ntargets = ntargets;
	ranking->targets = targets;
	ranking->payloads = palloc(ntargets * sizeof(Payload *));
	ranking->seeds = palloc(ntargets * sizeof(uint64));
	ranking->width = is_random(ranking) ? 8 : 4;
	for (int i = 0; i < ntargets; i++)
	{
		Payload    *payload = targets[i]->payload;

		/* What does not fit is read anew in each pass, if it can be. */
		ranking->payloads[i] = payload;
		if (payload->stored <= room || !prune_has_elements(payload))
		{
			ranking->payloads[i] = prune_load(payload);
			room -= Min(room, ranking->payloads[i]->stored);
		}
		ranking->seeds[i] = kernel_random_seed(request->seed,
											   targets[i]->name);
		ranking->width = Max(ranking->width, prune_key_width(payload->dtype));
		ranking->total += payload->count;
	}
	return ranking;
}

static int64
count_zeros(const Ranking *ranking)
{
	int64		zeros = 0;

	for (int i = 0; i < ranking->ntargets; i++)
		zeros += payload_zeros(ranking->payloads[i]);
	return zeros;
}

void
prune_unstructured(PruneTarget **targets, int ntargets,
				   const PruneRequest *request, const char *name, Model *out)
{
	Ranking    *ranking = ranking_create(targets, ntargets, request);
	int64		zeros = request->amount.of_remaining ? count_zeros(ranking) : 0;

	ranking->k = prune_amount_of(&request->amount, ranking->total, zeros,
								 "elements", name);
	progress_phase("select");
	find_threshold(ranking);
	progress_phase("write");
	for (int i = 0; i < ntargets; i++)
	{
		write_target(ranking, i, out);
		prune_unload(targets[i]->payload, ranking->payloads[i]);
	}
	if (ranking->gone != NULL)
		pfree(ranking->gone);
	pfree(ranking->payloads);
	pfree(ranking->seeds);
	pfree(ranking);
}
