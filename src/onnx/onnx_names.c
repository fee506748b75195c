/*
 * onnx_names.c
 *		Names of values: each is made once, before it is used.
 *
 * What happens to names is written down while a model is walked and looked at
 * afterwards, when all names are known and sorted.  A hash table would be
 * quicker, and could be made slow by names that collide.
 */
#include "postgres.h"

#include "onnx/onnx_check.h"
#include "miscadmin.h"

typedef struct Entry
{
	const char *name;
	uint32		size;
	OnnxEvent	event;
} Entry;

typedef struct OnnxNames
{
	int64		nentries;
	int64		allocated;
	Entry	   *entries;
} OnnxNames;

/* What is known of a name while the entries are gone through. */
typedef struct State
{
	int			scope;			/* of the innermost graph that has it, or 0 */
	OnnxEvent	event;			/* by which it has it */
} State;

/* What is to be put back when a graph is left. */
typedef struct Undo
{
	uint32		name;
	State		state;
} Undo;

typedef struct Check
{
	const OnnxNames *names;
	uint32	   *ids;			/* of the entries' names */
	State	   *states;			/* of the names */
	Undo	   *undo;
	int64		nundo;
	int			scope;
	int64		opened[ONNX_MAX_GRAPHS + 2];	/* nundo, when a scope was */
} Check;

OnnxNames *
onnx_names_create(void)
{
	OnnxNames  *names = palloc(sizeof(OnnxNames));

	names->nentries = 0;
	names->allocated = 64;
	names->entries = palloc(names->allocated * sizeof(Entry));
	return names;
}

void
onnx_names_add(OnnxNames *names, OnnxEvent event, OnnxBytes name)
{
	Entry	   *entry;

	/* An optional value that is not there has no name. */
	if (name.size == 0 && event != ONNX_OPEN && event != ONNX_CLOSE)
		return;
	if (names->nentries >= ONNX_MAX_NAMES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("ONNX model is too large"),
				 errdetail("Its nodes have more than %d inputs and outputs.",
						   ONNX_MAX_NAMES)));
	if (names->nentries == names->allocated)
	{
		names->allocated *= 2;
		names->entries = repalloc_huge(names->entries,
									   names->allocated * sizeof(Entry));
	}
	entry = &names->entries[names->nentries++];
	entry->name = name.data;
	entry->size = name.size;
	entry->event = event;
}

/* ---------- numbers for names ---------- */

static inline OnnxBytes
entry_name(const Entry *entry)
{
	OnnxBytes	name = {entry->name, entry->size};

	return name;
}

static int
compare_entries(const void *a, const void *b)
{
	return onnx_compare(entry_name(*(const Entry *const *) a),
						entry_name(*(const Entry *const *) b));
}

/* Equal names get equal numbers. */
static void
number_names(Check *check)
{
	const OnnxNames *names = check->names;
	const Entry **sorted;
	uint32		id = 0;

	sorted = palloc_extended(names->nentries * sizeof(Entry *),
							 MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < names->nentries; i++)
		sorted[i] = &names->entries[i];
	qsort(sorted, names->nentries, sizeof(Entry *), compare_entries);
	for (int64 i = 0; i < names->nentries; i++)
	{
		if (i > 0 && compare_entries(&sorted[i - 1], &sorted[i]) != 0)
			id++;
		check->ids[sorted[i] - names->entries] = id;
	}
	pfree(sorted);
}

/* ---------- going through the entries ---------- */

static void
fail_name(const Entry *entry, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid ONNX model"),
			 errdetail("Value %s %s.", onnx_quote(entry_name(entry)), problem)));
}

static void
define(Check *check, const Entry *entry, uint32 id)
{
	State	   *state = &check->states[id];
	Undo	   *undo = &check->undo[check->nundo++];

	undo->name = id;
	undo->state = *state;
	state->scope = check->scope;
	state->event = entry->event;
}

static void
leave_scope(Check *check)
{
	while (check->nundo > check->opened[check->scope])
	{
		Undo	   *undo = &check->undo[--check->nundo];

		check->states[undo->name] = undo->state;
	}
	check->scope--;
}

static void
check_entry(Check *check, const Entry *entry, uint32 id)
{
	State	   *state = &check->states[id];
	bool		here = state->scope == check->scope;

	switch (entry->event)
	{
		case ONNX_OPEN:
			check->opened[++check->scope] = check->nundo;
			break;
		case ONNX_CLOSE:
			leave_scope(check);
			break;
		case ONNX_INPUT:
			if (here)
				fail_name(entry, "is an input twice");
			define(check, entry, id);
			break;
		case ONNX_INITIALIZER:
			/* Which may give an input its default. */
			if (here && state->event == ONNX_INITIALIZER)
				fail_name(entry, "is an initializer twice");
			define(check, entry, id);
			break;
		case ONNX_MAKE:
			if (state->scope > 0)
				fail_name(entry, "is made twice");
			define(check, entry, id);
			break;
		case ONNX_USE:
			if (state->scope == 0)
				fail_name(entry, "is used by a node, and none before it makes it");
			break;
		case ONNX_RESULT:
			if (state->scope == 0)
				fail_name(entry, "is an output, and no node makes it");
			break;
	}
}

void
onnx_names_check(OnnxNames *names)
{
	Check		check = {.names = names};
	int64		n = names->nentries;

	check.ids = palloc_extended(n * sizeof(uint32), MCXT_ALLOC_HUGE);
	check.states = palloc_extended(n * sizeof(State),
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	check.undo = palloc_extended(n * sizeof(Undo), MCXT_ALLOC_HUGE);
	number_names(&check);
	for (int64 i = 0; i < n; i++)
	{
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		check_entry(&check, &names->entries[i], check.ids[i]);
	}
	pfree(check.ids);
	pfree(check.states);
	pfree(check.undo);
}

/* ---------- names of other things ---------- */

static int
compare_names(const void *a, const void *b)
{
	return onnx_compare(*(const OnnxBytes *) a, *(const OnnxBytes *) b);
}

void
onnx_check_unique(const OnnxWalk *walk, OnnxBytes *names, int n,
				  const char *problem)
{
	qsort(names, n, sizeof(OnnxBytes), compare_names);
	for (int i = 1; i < n; i++)
	{
		if (onnx_compare(names[i - 1], names[i]) == 0)
			onnx_fail(walk, psprintf(problem, onnx_quote(names[i])));
	}
}
