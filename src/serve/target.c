/*
 * target.c
 *		What a prediction is made with: a model value, or a version.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "serve/serve.h"
#include "utils/memutils.h"

void
target_of_value(Target *target, Datum value)
{
	memset(target, 0, sizeof(*target));
	target->value = value;
	datum_model_digest(value, target->key.digest);
	target->key.size = VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(value)) ?
		1 : toast_raw_datum_size(value);
	target->key.threads = serve_threads;
}

void
target_of_name(Target *target, const char *ref)
{
	memset(target, 0, sizeof(*target));
	target->is_version = true;
	repo_find_served(ref, &target->version);
	memcpy(target->key.digest, target->version.digest, sizeof(target->key.digest));
	target->key.threads = serve_threads;
}

/* What is read of the model on the way is freed, also when it fails: there may
 * be many who try again. */
static Session *
load(Target *target)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "modelopt model to run",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	Session    *session = NULL;

	PG_TRY();
	{
		session = session_load(&target->key, target->is_version ?
							   repo_open_served(&target->version) :
							   DatumGetModel(target->value));
	}
	PG_FINALLY();
	{
		MemoryContextSwitchTo(previous);
		MemoryContextDelete(context);
	}
	PG_END_TRY();
	return session;
}

Session *
target_session(Target *target)
{
	Session    *session = session_find(&target->key);

	return session != NULL ? session : load(target);
}
