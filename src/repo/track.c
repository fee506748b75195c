/*
 * track.c
 *		The row trigger of tracked tables.
 *
 * Finds out what of a change concerns the row's model, and hands it to the
 * SQL function record_change, which knows what to do.  It is C because the
 * columns' names are the table's own, and so that models are passed on as the
 * TOAST pointers that they are.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "repo/repo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(modelopt_track_row);

/* The setting: what versions of changed rows say when no column does. */
char	   *track_row_message = NULL;

/* Columns of find_tracking. */
enum
{
	CONFIG_RELATION = 0,
	CONFIG_PREFIX,
	CONFIG_COLUMN,
	CONFIG_KEY_COLUMNS,
	CONFIG_MESSAGE_COLUMN,
	CONFIG_LOOKUP,
	CONFIG_VALUES
};

/* What is tracked of the trigger's table: for as long as a statement has the
 * table open, which nobody alters meanwhile. */
typedef struct Tracking
{
	Datum		config[CONFIG_VALUES];	/* what find_tracking says */
	bool		config_nulls[CONFIG_VALUES];
	AttrNumber	model;
	AttrNumber	message;		/* or 0 */
	int			nkeys;
	AttrNumber *keys;
	FmgrInfo   *outputs;		/* of the keys' types */
} Tracking;

/* ---------- what is tracked ---------- */

/* A partition has the columns of its table in places of its own. */
static AttrNumber
find_column(Relation table, Name name)
{
	AttrNumber	number = get_attnum(RelationGetRelid(table), NameStr(*name));

	if (number <= 0)
		elog(ERROR, "table \"%s\" has no column \"%s\"",
			 RelationGetRelationName(table), NameStr(*name));
	return number;
}

static void
find_keys(Tracking *tracking, Relation table)
{
	Datum	   *names;

	deconstruct_array(DatumGetArrayTypeP(tracking->config[CONFIG_KEY_COLUMNS]),
					  NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &names, NULL,
					  &tracking->nkeys);
	tracking->keys = palloc(tracking->nkeys * sizeof(AttrNumber));
	tracking->outputs = palloc(tracking->nkeys * sizeof(FmgrInfo));
	for (int i = 0; i < tracking->nkeys; i++)
	{
		Oid			output;
		bool		is_varlena;

		tracking->keys[i] = find_column(table, DatumGetName(names[i]));
		getTypeOutputInfo(TupleDescAttr(RelationGetDescr(table),
										tracking->keys[i] - 1)->atttypid,
						  &output, &is_varlena);
		fmgr_info(output, &tracking->outputs[i]);
	}
}

/* In the current context, which outlives SPI's. */
static Tracking *
find_tracking(Relation table, const char *prefix)
{
	MemoryContext context = CurrentMemoryContext;
	Tracking   *tracking = palloc0(sizeof(Tracking));
	Oid			types[2] = {OIDOID, TEXTOID};
	Datum		values[2] = {
		ObjectIdGetDatum(RelationGetRelid(table)), CStringGetTextDatum(prefix)
	};
	TupleDesc	columns;
	HeapTuple	row;

	SPI_connect();
	SPI_execute_with_args("SELECT * FROM modelopt_private.find_tracking($1, $2)",
						  2, types, values, NULL, true, 1);
	MemoryContextSwitchTo(context);
	columns = CreateTupleDescCopy(SPI_tuptable->tupdesc);
	row = heap_copytuple(SPI_tuptable->vals[0]);
	SPI_finish();
	heap_deform_tuple(row, columns, tracking->config, tracking->config_nulls);
	tracking->model = find_column(table, DatumGetName(tracking->config[CONFIG_COLUMN]));
	if (!tracking->config_nulls[CONFIG_MESSAGE_COLUMN])
		tracking->message = find_column(table, DatumGetName(tracking->config[CONFIG_MESSAGE_COLUMN]));
	find_keys(tracking, table);
	return tracking;
}

static Tracking *
get_tracking(FmgrInfo *flinfo, TriggerData *trigger)
{
	if (flinfo->fn_extra == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(flinfo->fn_mcxt);

		flinfo->fn_extra = find_tracking(trigger->tg_relation,
										 trigger->tg_trigger->tgargs[0]);
		MemoryContextSwitchTo(old);
	}
	return flinfo->fn_extra;
}

/* ---------- one change ---------- */

static Datum
get_key(const Tracking *tracking, Relation table, HeapTuple row)
{
	Datum	   *texts = palloc(tracking->nkeys * sizeof(Datum));

	for (int i = 0; i < tracking->nkeys; i++)
	{
		bool		isnull;
		Datum		value = heap_getattr(row, tracking->keys[i],
										 RelationGetDescr(table), &isnull);

		if (isnull)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("key of a row of tracked table \"%s\" is null",
							RelationGetRelationName(table))));
		texts[i] = CStringGetTextDatum(OutputFunctionCall(&tracking->outputs[i], value));
	}
	return PointerGetDatum(construct_array(texts, tracking->nkeys, TEXTOID, -1,
										   false, TYPALIGN_INT));
}

static bool
same_value(Relation table, AttrNumber column, HeapTuple a, HeapTuple b)
{
	TupleDesc	columns = RelationGetDescr(table);
	Form_pg_attribute attribute = TupleDescAttr(columns, column - 1);
	bool		a_isnull;
	bool		b_isnull;
	Datum		a_value = heap_getattr(a, column, columns, &a_isnull);
	Datum		b_value = heap_getattr(b, column, columns, &b_isnull);

	if (a_isnull || b_isnull)
		return a_isnull && b_isnull;
	return datumIsEqual(a_value, b_value, attribute->attbyval,
						attribute->attlen);
}

/* Whether an UPDATE left model and key as they were, to the bit. */
static bool
is_unchanged(const Tracking *tracking, Relation table, HeapTuple before,
			 HeapTuple after)
{
	for (int i = 0; i < tracking->nkeys; i++)
	{
		if (!same_value(table, tracking->keys[i], before, after))
			return false;
	}
	return same_value(table, tracking->model, before, after);
}

static Datum
get_message(const Tracking *tracking, Relation table, HeapTuple row)
{
	TupleDesc	columns = RelationGetDescr(table);
	bool		isnull;
	Datum		value;
	Oid			output;
	bool		is_varlena;

	if (track_row_message != NULL && track_row_message[0] != '\0')
		return CStringGetTextDatum(track_row_message);
	if (tracking->message == 0)
		return CStringGetTextDatum("");
	value = heap_getattr(row, tracking->message, columns, &isnull);
	if (isnull)
		return CStringGetTextDatum("");
	getTypeOutputInfo(TupleDescAttr(columns, tracking->message - 1)->atttypid,
					  &output, &is_varlena);
	return CStringGetTextDatum(OidOutputFunctionCall(output, value));
}

/* Parameters of record_change. */
enum
{
	CHANGE_RELATION = 0,
	CHANGE_PREFIX,
	CHANGE_LOOKUP,
	CHANGE_OPERATION,
	CHANGE_OLD_KEY,
	CHANGE_OLD_MODEL,
	CHANGE_NEW_KEY,
	CHANGE_NEW_MODEL,
	CHANGE_MESSAGE,
	CHANGE_NEW_TABLE,
	CHANGE_NEW_PLACE,
	CHANGE_VALUES
};

static void
record_change(const Tracking *tracking, Relation table, const char *operation,
			  HeapTuple before, HeapTuple after)
{
	TupleDesc	columns = RelationGetDescr(table);
	Oid			model_type = TupleDescAttr(columns, tracking->model - 1)->atttypid;
	Oid			types[CHANGE_VALUES] = {
		REGCLASSOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, model_type,
		TEXTARRAYOID, model_type, TEXTOID, OIDOID, TIDOID
	};
	Datum		values[CHANGE_VALUES] = {0};
	char		nulls[CHANGE_VALUES + 1];
	bool		isnull;

	memset(nulls, 'n', sizeof(nulls));
	memset(nulls, ' ', CHANGE_OPERATION + 1);
	values[CHANGE_RELATION] = tracking->config[CONFIG_RELATION];
	values[CHANGE_PREFIX] = tracking->config[CONFIG_PREFIX];
	values[CHANGE_LOOKUP] = tracking->config[CONFIG_LOOKUP];
	values[CHANGE_OPERATION] = CStringGetTextDatum(operation);
	if (before != NULL)
	{
		values[CHANGE_OLD_KEY] = get_key(tracking, table, before);
		nulls[CHANGE_OLD_KEY] = ' ';
		values[CHANGE_OLD_MODEL] = heap_getattr(before, tracking->model, columns, &isnull);
		nulls[CHANGE_OLD_MODEL] = isnull ? 'n' : ' ';
	}
	if (after != NULL)
	{
		values[CHANGE_NEW_KEY] = get_key(tracking, table, after);
		nulls[CHANGE_NEW_KEY] = ' ';
		values[CHANGE_NEW_MODEL] = heap_getattr(after, tracking->model, columns, &isnull);
		nulls[CHANGE_NEW_MODEL] = isnull ? 'n' : ' ';
		values[CHANGE_MESSAGE] = get_message(tracking, table, after);
		nulls[CHANGE_MESSAGE] = ' ';
		values[CHANGE_NEW_TABLE] = ObjectIdGetDatum(RelationGetRelid(table));
		nulls[CHANGE_NEW_TABLE] = ' ';
		values[CHANGE_NEW_PLACE] = PointerGetDatum(&after->t_self);
		nulls[CHANGE_NEW_PLACE] = ' ';
	}
	SPI_connect();
	SPI_execute_with_args("SELECT modelopt_private.record_change($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
						  CHANGE_VALUES, types, values, nulls, false, 1);
	SPI_finish();
}

Datum
modelopt_track_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	row;
	Tracking   *tracking;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("modelopt.track_row is a trigger that modelopt.track() creates")));
	tracking = get_tracking(fcinfo->flinfo, trigger);
	row = trigger->tg_trigtuple;
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		record_change(tracking, trigger->tg_relation, "inserted", NULL, row);
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		record_change(tracking, trigger->tg_relation, "deleted", row, NULL);
	else if (!is_unchanged(tracking, trigger->tg_relation, row,
						   trigger->tg_newtuple))
		record_change(tracking, trigger->tg_relation, "updated", row,
					  trigger->tg_newtuple);
	return PointerGetDatum(NULL);
}
