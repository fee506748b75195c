/*
 * compat.h
 *		What differs between PostgreSQL 14 and 18, in one place.
 *
 * Code elsewhere is written for the newest server; older ones get the missing
 * names here.
 */
#ifndef MODELOPT_COMPAT_H
#define MODELOPT_COMPAT_H

#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

#if PG_VERSION_NUM < 160000
#include "postgres_ext.h"
#else
#include "varatt.h"
#endif

/* Comes first in a declaration. */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

/* What base64 is coded from and to. */
#if PG_VERSION_NUM >= 180000
typedef uint8 CodedByte;
#else
typedef char CodedByte;
#endif

/* The number of this backend among MaxBackends, from 0; or below. */
#if PG_VERSION_NUM >= 170000
#include "storage/procnumber.h"
#define MyBackendSlot ((int) MyProcNumber)
#else
#include "storage/backendid.h"
#define MyBackendSlot ((int) MyBackendId - 1)
#endif

/* Copies the next item of a sort of fixed-length datums that are pointers. */
static inline bool
tuplesort_take_datum(Tuplesortstate *state, void *item, Size size)
{
	Datum		value;
	bool		is_null;

#if PG_VERSION_NUM >= 160000
	if (!tuplesort_getdatum(state, true, false, &value, &is_null, NULL))
		return false;
	memcpy(item, DatumGetPointer(value), size);
#else
	if (!tuplesort_getdatum(state, true, &value, &is_null, NULL))
		return false;
	memcpy(item, DatumGetPointer(value), size);
	pfree(DatumGetPointer(value));
#endif
	return true;
}

#if PG_VERSION_NUM < 150000

#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)

/* Puts the result of a set-returning function in a tuplestore. */
static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old_context;
	TupleDesc	descriptor;
	bool		random_access;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	if (!(rsinfo->allowedModes & SFRM_Materialize))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("materialize mode required, but it is not allowed in this context")));

	old_context = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	random_access = (rsinfo->allowedModes & SFRM_Materialize_Random) != 0;
	rsinfo->setResult = tuplestore_begin_heap(random_access, false, work_mem);
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setDesc = descriptor;
	MemoryContextSwitchTo(old_context);
}
#endif

#endif							/* MODELOPT_COMPAT_H */
