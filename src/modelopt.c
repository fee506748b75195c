/*
 * modelopt.c
 *		Module entry.
 *
 * The only file that knows all floors: it has the magic block and wires what
 * must be told to the server when the library is loaded.
 */
#include "postgres.h"

#include "compat.h"

#include "format/format.h"
#include "format/onnx.h"
#include "model/model.h"
#include "model/uses.h"
#include "monitor/monitor.h"
#include "repo/repo.h"
#include "serve/serve.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

static void
define_settings(void)
{
	DefineCustomIntVariable("modelopt.onnx_external_data_threshold",
							"Size of an ONNX file from which on model_save puts weights into a second one.",
							"The format ends at 2 GB.",
							&onnx_external_data_threshold, ONNX_MAX_THRESHOLD,
							0, ONNX_MAX_THRESHOLD, PGC_USERSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.spill_above",
							"Memory of a session's tensors above which further ones go into temporary files.",
							"What is in work, a tensor or a few, takes memory beside.",
							&payload_spill_above, PAYLOAD_SPILL_ABOVE,
							0, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomStringVariable("modelopt.row_message",
							   "Message of the versions that changes of tracked rows make.",
							   "Empty takes it from the table's message column.",
							   &track_row_message, "", PGC_USERSET, 0,
							   NULL, NULL, NULL);
	serve_define_settings();
}

void
_PG_init(void)
{
	define_settings();
	monitor_init();
	MarkGUCPrefixReserved("modelopt");
	lazy_source_init();
	uses_provider.tensor_uses = onnx_tensor_uses;
	uses_provider.missing_value = onnx_missing_value;
}
