/*
 * session.c
 *		The models that this backend has loaded, and runs of them.
 *
 * Kept by what they are, the one used last first, up to a size.  They live in
 * one engine; when that is another one, or starts anew, they are gone.
 */
#include "postgres.h"

#include "compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "serve/engine.h"
#include "serve/invocation.h"
#include "serve/model_file.h"
#include "serve/ports.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* What tensors of a transaction may leave taken for the next one. */
#define KEPT_TENSORS	((uint64) 16 << 20)

/* Outputs of which the graph is asked what they are. */
#define MAX_SOURCES		16

static dlist_head sessions = DLIST_STATIC_INIT(sessions);
static const Engine *engine;
static uint64 cached_bytes;
static bool numbers_taken[EXCHANGE_MAX_MODELS];

/* The tensors of the run at work, or the last one. */
static struct
{
	Session    *session;
	char	   *space;
	uint64		used;
	uint64		most_used;		/* by a run of this transaction */
	ServedTensor inputs[ORT_MAX_PORTS];
	ServedTensor outputs[ORT_MAX_PORTS];
	int			noutputs;
}			work;

/* A run that goes on while something else is done. */
typedef struct Run
{
	Session    *session;
	int64		batch;
	int64		rows;
	Invocation *invocation;
	ResourceOwner owner;		/* of the files that take may open */
	void		(*take) (void *argument);
	void	   *argument;
	bool		taken;
} Run;

/* That one until somebody waits for it, or NULL. */
static Run *going;

static void settle(void);

/* ---------- the cache ---------- */

static void
forget(Session *session)
{
	if (work.session == session)
		work.session = NULL;
	dlist_delete(&session->node);
	cached_bytes -= session->bytes;
	numbers_taken[session->number] = false;
	MemoryContextDelete(session->context);
}

static void
forget_all(void)
{
	while (!dlist_is_empty(&sessions))
		forget(dlist_head_element(Session, node, &sessions));
}

static void
drop(Session *session)
{
	uint32		number = session->number;

	forget(session);
	engine->unload(number);
}

static void
trim_at_end(XactEvent event, void *argument)
{
	if (engine == NULL ||
		!(event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		  event == XACT_EVENT_PARALLEL_COMMIT ||
		  event == XACT_EVENT_PARALLEL_ABORT))
		return;
	engine->trim(work.most_used, KEPT_TENSORS);
	work.most_used = 0;
}

/* The engine that the settings say, running, and free for other work. */
static void
ready_engine(void)
{
	const Engine *wanted = serve_run_mode == RUN_ISOLATED ? &engine_runner : &engine_inprocess;

	settle();
	if (engine == NULL)
		RegisterXactCallback(trim_at_end, NULL);
	if (engine != wanted)
	{
		while (!dlist_is_empty(&sessions))
			drop(dlist_head_element(Session, node, &sessions));
		if (engine != NULL)
			engine->trim(work.most_used, 0);
		engine = wanted;
	}
	if (!engine->start())
		forget_all();
}

static bool
same_key(const SessionKey *a, const SessionKey *b)
{
	return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0 &&
		a->size == b->size && a->threads == b->threads;
}

Session *
session_find(const SessionKey *key)
{
	dlist_iter	iter;

	ready_engine();
	invocation_count(MONITOR_CACHE_LOOKUPS, 1);
	dlist_foreach(iter, &sessions)
	{
		Session    *session = dlist_container(Session, node, iter.cur);

		if (same_key(&session->key, key))
		{
			dlist_move_head(&sessions, &session->node);
			invocation_count(MONITOR_CACHE_HITS, 1);
			return session;
		}
	}
	return NULL;
}

static void
evict_last(void)
{
	drop(dlist_tail_element(Session, node, &sessions));
	invocation_count(MONITOR_CACHE_EVICTIONS, 1);
}

/* Makes room for a model: of those used last, only that one may be larger than
 * the cache. */
static void
make_room(uint64 bytes)
{
	uint64		most = (uint64) serve_cache_size * 1024;

	while (!dlist_is_empty(&sessions) &&
		   (bytes > most || cached_bytes > most - bytes))
		evict_last();
}

static uint32
free_number(void)
{
	for (;;)
	{
		for (uint32 i = 0; i < EXCHANGE_MAX_MODELS; i++)
			if (!numbers_taken[i])
				return i;
		evict_last();
	}
}

/* Of the first outputs of many: who has so many asks for one by its name. */
static void
find_sources(Session *session, const Model *model)
{
	OnnxBytes	graph = onnx_get(onnx_model_graph(model), MODEL_GRAPH);

	session->sources = palloc0(Max(session->noutputs, 1) * sizeof(ScoreSource));
	for (int i = 0; i < Min(session->noutputs, MAX_SOURCES); i++)
		session->sources[i] = scores_source(graph, session->outputs[i].name);
}

/* The bytes come from the runner, so they may be anything. */
static Session *
make_session(const SessionKey *key, const Model *model, const char *ports, uint64 ports_size)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "modelopt session",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	Session    *session = palloc0(sizeof(Session));

	session->key = *key;
	session->context = context;
	session->loaded_at = GetCurrentTimestamp();
	if (!ports_unpack(ports, ports_size, palloc0, &session->inputs,
					  &session->ninputs, &session->outputs, &session->noutputs))
		elog(ERROR, "model runner does not say what the model takes");
	find_sources(session, model);
	MemoryContextSwitchTo(previous);
	return session;
}

Session *
session_load(const SessionKey *key, Model *model)
{
	ModelFile  *file = model_file_create(model);
	Session    *session;
	const char *ports;
	uint64		ports_size;
	uint32		number;

	ready_engine();
	invocation_count(MONITOR_MODEL_BYTES, file->size);
	make_room(file->size);
	number = free_number();
	ports = engine->load(number, file->file, file->size, key->threads, &ports_size);
	session = make_session(key, model, ports, ports_size);
	session->bytes = file->size;
	session->number = number;
	model_file_close(file);

	MemoryContextSetParent(session->context, TopMemoryContext);
	dlist_push_head(&sessions, &session->node);
	numbers_taken[number] = true;
	cached_bytes += session->bytes;
	return session;
}

/* ---------- runs ---------- */

void
session_begin(Session *session)
{
	invocation_enter(MONITOR_PREPARE);
	work.session = session;
	work.space = engine->inputs();
	work.used = 0;
	work.noutputs = 0;
}

void
session_refuse_inputs(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("inputs of a prediction are too large"),
			 errdetail("They may have 1 GB."),
			 errhint("Predict fewer rows at once; batch_size says how many in functions that take a query.")));
}

void *
session_input(Session *session, int i, const TensorShape *shape, uint64 bytes)
{
	uint64		start = PLACE_ALIGN(work.used);
	ServedTensor *input = &work.inputs[i];

	Assert(work.session == session && i < session->ninputs);
	if (start > EXCHANGE_PART || bytes > EXCHANGE_PART - start)
		session_refuse_inputs();
	work.used = start + bytes;
	work.most_used = Max(work.most_used, work.used);
	input->shape.type = shape->type;
	input->shape.ndim = shape->ndim;
	memcpy(input->shape.dims, shape->dims, shape->ndim * sizeof(int64));
	input->bytes = bytes;
	input->data = work.space + start;
	return input->data;
}

/* Elements of a row of a tensor, or 0 when it has none for each. */
static int64
row_elements(const ServedTensor *tensor, int64 batch, int64 rows)
{
	int64		count;

	if (tensor->shape.type == ELEMENT_NONE || tensor->shape.type == ELEMENT_VALUE ||
		!shape_elements(&tensor->shape, &count))
		return 0;
	if (batch > 0 && tensor->shape.ndim > 0 && tensor->shape.dims[0] == batch)
		return count / batch;
	return rows == 1 ? count : 0;
}

static void
observe(bool outputs, const ServedTensor *tensors, int n, int64 batch, int64 rows)
{
	int64		first = 1;

	for (int i = 0; i < n && first < PG_INT32_MAX; i++)
	{
		int64		columns = row_elements(&tensors[i], batch, rows);

		if (columns > 0)
			invocation_observe(outputs, first, &tensors[i], rows, columns);
		first += columns;
	}
}

static void
tell_run(int64 batch, int64 rows)
{
	if (invocation == NULL)
		return;
	invocation_count(MONITOR_BATCHES, 1);
	invocation_count(MONITOR_ROWS, rows);
	invocation_count(MONITOR_INPUT_BYTES, work.used);
	for (int i = 0; i < work.noutputs; i++)
		invocation_count(MONITOR_OUTPUT_BYTES, work.outputs[i].bytes);
	if (!invocation_is_compared())
		return;
	observe(false, work.inputs, work.session->ninputs, batch, rows);
	observe(true, work.outputs, work.noutputs, batch, rows);
}

static void
start_run(Session *session)
{
	Assert(work.session == session);
	invocation_enter(MONITOR_INFER);
	engine->send(session->number, work.inputs, session->ninputs);
}

static void
end_run(Session *session, int64 batch, int64 rows)
{
	work.noutputs = engine->receive(work.outputs);
	if (work.noutputs != session->noutputs)
		elog(ERROR, "model runner gave %d outputs, not %d", work.noutputs,
			 session->noutputs);
	for (int i = 0; i < work.noutputs; i++)
		if (work.outputs[i].shape.type != ELEMENT_NONE &&
			work.outputs[i].shape.type != port_element_type(&session->outputs[i]))
			elog(ERROR, "model runner gave an output of another type than it said");
	session->calls++;
	session->last_call = GetCurrentTimestamp();
	tell_run(batch, rows);
}

void
session_run(Session *session, int64 batch, int64 rows)
{
	start_run(session);
	end_run(session, batch, rows);
}

/* Waits for the run that is going, if one is, perhaps within what is done beside
 * it, which may be a subtransaction that ends before the run's caller does. */
static void
settle(void)
{
	Run		   *run = going;
	Invocation *const inner = invocation;
	ResourceOwner inner_owner = CurrentResourceOwner;

	if (run == NULL)
		return;
	going = NULL;
	invocation = run->invocation;
	CurrentResourceOwner = run->owner;
	end_run(run->session, run->batch, run->rows);
	run->take(run->argument);
	run->taken = true;
	CurrentResourceOwner = inner_owner;
	invocation = inner;
}

void
session_run_beside(Session *session, int64 batch, int64 rows,
				   void (*meanwhile) (void *argument),
				   void (*take) (void *argument), void *argument)
{
	Run			run = {session, batch, rows, invocation, CurrentResourceOwner, take, argument, false};

	start_run(session);
	going = &run;
	PG_TRY();
	{
		meanwhile(argument);
		settle();
	}
	PG_CATCH();
	{
		if (going == &run)
			engine->abandon();
		going = NULL;
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (!run.taken)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("run of the model failed while the next rows were fetched"),
				 errdetail("The error was caught by a function that made a prediction too.")));
}

const ServedTensor *
session_output(const Session *session, int i)
{
	Assert(work.session == session && i < work.noutputs);
	return &work.outputs[i];
}

void
session_part(const ServedTensor *whole, int64 i, int type, ServedTensor *part)
{
	if (!value_part(whole, i, part))
		elog(ERROR, "model runner gave a part of a value that does not exist");
	if (part->shape.type != type)
		elog(ERROR, "model runner gave a part of another type than it said");
}

int64
session_map(const Port *port, const ServedTensor *map, ServedTensor *keys,
			ServedTensor *values)
{
	int64		nkeys,
				nvalues;

	session_part(map, 0, port->type, keys);
	session_part(map, 1, port_element_type(port->of), values);
	if (!shape_elements(&keys->shape, &nkeys) ||
		!shape_elements(&values->shape, &nvalues) || nkeys != nvalues)
		elog(ERROR, "model runner gave a map that has not a value for each key");
	return nkeys;
}

/* ---------- who is there ---------- */

PG_FUNCTION_INFO_V1(modelopt_cached_models);

static Datum
hex(const uint8 *digest)
{
	char		digits[2 * MODEL_DIGEST_LENGTH + 1];

	for (int i = 0; i < MODEL_DIGEST_LENGTH; i++)
		snprintf(digits + 2 * i, 3, "%02x", digest[i]);
	return CStringGetTextDatum(digits);
}

Datum
modelopt_cached_models(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	dlist_iter	iter;

	InitMaterializedSRF(fcinfo, 0);
	dlist_foreach(iter, &sessions)
	{
		Session    *session = dlist_container(Session, node, iter.cur);
		Datum		values[8] = {0};
		bool		nulls[8] = {false};

		values[0] = hex(session->key.digest);
		values[1] = CStringGetTextDatum(session->key.size == 0 ? "version" : "value");
		values[2] = CStringGetTextDatum(engine == &engine_runner ? "isolated" : "inprocess");
		values[3] = Int32GetDatum(session->key.threads);
		values[4] = Int64GetDatum(session->bytes);
		values[5] = Int64GetDatum(session->calls);
		values[6] = TimestampTzGetDatum(session->loaded_at);
		values[7] = TimestampTzGetDatum(session->last_call);
		nulls[7] = session->calls == 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
