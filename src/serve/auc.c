/*
 * auc.c
 *		Area under the receiver operating characteristic.
 *
 * It is the part of pairs of a row of the class and one of another in which the
 * first has the higher score, equal scores counting half.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "port/pg_bswap.h"
#include "serve/auc.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

/*
 * What is sorted: 16 bytes, which compare from the first to the last one.  The
 * server has a type that does just that, with all that makes its sorting fast.
 */
typedef struct AucItem
{
	uint32		nth_class;		/* big endian, as the score */
	uint8		score[8];
	uint8		is_class;
	uint8		unused[3];
} AucItem;

StaticAssertDecl(sizeof(AucItem) == UUID_LEN, "an item has the size of a uuid");

struct AucSort
{
	Tuplesortstate *state;
};

AucSort *
auc_create(void)
{
	AucSort    *sort = palloc(sizeof(AucSort));
	TypeCacheEntry *type = lookup_type_cache(UUIDOID, TYPECACHE_LT_OPR);

	sort->state = tuplesort_begin_datum(UUIDOID, type->lt_opr, InvalidOid, false,
										work_mem, NULL, 0);
	return sort;
}

/* Bits that compare as the numbers do, -0 and 0 being the same one. */
static uint64
sortable_bits(double x)
{
	uint64		bits;

	x += 0.0;
	memcpy(&bits, &x, sizeof(bits));
	return bits >> 63 ? ~bits : bits | (UINT64CONST(1) << 63);
}

static double
score_of_bits(uint64 bits)
{
	double		x;

	bits = bits >> 63 ? bits & ~(UINT64CONST(1) << 63) : ~bits;
	memcpy(&x, &bits, sizeof(x));
	return x;
}

void
auc_add(AucSort *sort, int nth_class, double score, bool is_class)
{
	AucItem		item = {.nth_class = pg_hton32(nth_class), .is_class = is_class};
	uint64		bits = pg_hton64(sortable_bits(score));

	memcpy(item.score, &bits, sizeof(bits));
	tuplesort_putdatum(sort->state, PointerGetDatum(&item), false);
}

/* ---------- pairs ---------- */

/* Those of a class, of which the rows up to a score have been seen. */
typedef struct Pairs
{
	double		score;			/* of the rows that come last */
	int64		of_class;		/* rows before these */
	int64		of_others;
	int64		tied_of_class;	/* and these */
	int64		tied_of_others;
	double		won;
} Pairs;

static void
end_ties(Pairs *pairs)
{
	pairs->won += (double) pairs->tied_of_class *
		((double) pairs->of_others + (double) pairs->tied_of_others / 2);
	pairs->of_class += pairs->tied_of_class;
	pairs->of_others += pairs->tied_of_others;
	pairs->tied_of_class = 0;
	pairs->tied_of_others = 0;
}

static void
add_pair(Pairs *pairs, double score, bool is_class)
{
	if (score != pairs->score)
		end_ties(pairs);
	pairs->score = score;
	if (is_class)
		pairs->tied_of_class++;
	else
		pairs->tied_of_others++;
}

/* The part of pairs that are won; false when there are no pairs. */
static bool
end_class(Pairs *pairs, double *area)
{
	end_ties(pairs);
	*area = pairs->won / ((double) pairs->of_class * (double) pairs->of_others);
	return pairs->of_class > 0 && pairs->of_others > 0;
}

bool
auc_finish(AucSort *sort, int nclasses, double *area)
{
	Pairs	   *pairs = palloc0(nclasses * sizeof(Pairs));
	AucItem		item;
	bool		is_defined = true;

	tuplesort_performsort(sort->state);
	while (tuplesort_take_datum(sort->state, &item, sizeof(item)))
	{
		uint64		bits;

		CHECK_FOR_INTERRUPTS();
		memcpy(&bits, item.score, sizeof(bits));
		add_pair(&pairs[pg_ntoh32(item.nth_class)], score_of_bits(pg_ntoh64(bits)),
				 item.is_class);
	}
	tuplesort_end(sort->state);

	*area = 0;
	for (int i = 0; i < nclasses; i++)
	{
		double		of_class;

		is_defined &= end_class(&pairs[i], &of_class);
		*area += of_class / nclasses;
	}
	pfree(pairs);
	return is_defined;
}
