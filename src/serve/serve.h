/*
 * serve.h
 *		Serving: models that are loaded to run, next to the data.
 *
 * Owns the sessions of this backend: which models are loaded, where (the
 * runner, or this process), and the tensors of a run.  Knows how a model
 * becomes ONNX (format) and where versions are (repo); must not know what a
 * prediction is used for: counters are the monitor's.
 *
 * Nothing here is written to disk, so that all of it works on a standby.
 */
#ifndef MODELOPT_SERVE_H
#define MODELOPT_SERVE_H

#include "postgres.h"

#include "compat.h"
#include "lib/ilist.h"
#include "model/model.h"
#include "repo/repo.h"
#include "serve/ort.h"
#include "serve/scores.h"
#include "utils/timestamp.h"

/* ---------- settings ---------- */

typedef enum RunMode
{
	RUN_ISOLATED,
	RUN_INPROCESS,
} RunMode;

extern char *serve_library;
extern int	serve_run_mode;
extern int	serve_memory_limit; /* kilobytes */
extern int	serve_cache_size;	/* kilobytes */
extern int	serve_threads;
extern int	serve_max_output;	/* kilobytes */

/* Defines them.  (settings.c) */
extern void serve_define_settings(void);

/* ---------- sessions (session.c) ---------- */

/* What is loaded under: a model's content and how it runs. */
typedef struct SessionKey
{
	uint8		digest[MODEL_DIGEST_LENGTH];
	uint64		size;			/* of the value, as one content may be encoded
								 * in many ways; 0 for a version */
	int			threads;
} SessionKey;

typedef struct Session
{
	dlist_node	node;
	SessionKey	key;
	uint32		number;			/* in the engine */
	MemoryContext context;		/* holds this struct and the ports */
	uint64		bytes;			/* of the ONNX model */
	int			ninputs;
	int			noutputs;
	Port	   *inputs;			/* names are UTF-8 */
	Port	   *outputs;
	ScoreSource *sources;		/* of the outputs' numbers */
	int64		calls;
	TimestampTz loaded_at;
	TimestampTz last_call;
} Session;

/* The loaded model of that key, or NULL. */
extern Session *session_find(const SessionKey *key);

/* Loads a model, and others go when there is no room. */
extern Session *session_load(const SessionKey *key, Model *model);

/*
 * A run: begin, an input at a time, run, and the outputs are there until the
 * next begin.  Space for an input's elements is filled by the caller, who may
 * not start another run in between.  rows are predictions, of as many as the
 * first dimension has with padding; batch is 0 where none counts them.
 */
extern void session_begin(Session *session);
extern void *session_input(Session *session, int i, const TensorShape *shape,
						   uint64 bytes);
pg_noreturn extern void session_refuse_inputs(void);	/* as too large */
extern void session_run(Session *session, int64 batch, int64 rows);

/*
 * A run, while it goes on something else that may want runs too, and then what
 * takes the outputs, which is sooner when such a run is to start.  take is in
 * the memory context of whoever that is.
 */
extern void session_run_beside(Session *session, int64 batch, int64 rows,
							   void (*meanwhile) (void *argument),
							   void (*take) (void *argument), void *argument);
extern const ServedTensor *session_output(const Session *session, int i);

/* A part of an output that is no tensor, of which the port says the element
 * type. */
extern void session_part(const ServedTensor *whole, int64 i, int type,
						 ServedTensor *part);

/* The keys and values of a map of that type; returns how many there are. */
extern int64 session_map(const Port *port, const ServedTensor *map,
						 ServedTensor *keys, ServedTensor *values);

/* ---------- what is to run (target.c) ---------- */

/* A model value or a version, with the means to load it. */
typedef struct Target
{
	SessionKey	key;
	bool		is_version;
	ServedVersion version;
	Datum		value;			/* of type model, if that */
} Target;

extern void target_of_value(Target *target, Datum value);
extern void target_of_name(Target *target, const char *ref);

/* The loaded model, loaded now if need be. */
extern Session *target_session(Target *target);

#endif							/* MODELOPT_SERVE_H */
