/*
 * modelopt.c
 *		Module entry.
 *
 * The only file that knows all floors: it has the magic block and wires what
 * must be told to the server when the library is loaded.
 */
#include "postgres.h"

#include "fmgr.h"
#include "model/model.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	lazy_source_init();
}
