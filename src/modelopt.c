/*
 * modelopt.c
 *		Module entry.
 *
 * The only file that knows all floors: it has the magic block and wires what
 * must be told to the server when the library is loaded.
 */
#include "postgres.h"

#include "fmgr.h"
#include "format/onnx.h"
#include "model/model.h"
#include "model/uses.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	toast_source_init();
	uses_provider.tensor_uses = onnx_tensor_uses;
	uses_provider.missing_value = onnx_missing_value;
}
