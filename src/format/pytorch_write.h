/*
 * pytorch_write.h
 *		What the files of the PyTorch writer share.
 *
 * Private to src/format.
 */
#ifndef MODELOPT_PYTORCH_WRITE_H
#define MODELOPT_PYTORCH_WRITE_H

#include "compat.h"

#include "lib/stringinfo.h"

/* Pickle opcodes of a string (UTF-8), of an integer, of an empty
 * collections.OrderedDict (pytorch_write.c). */
extern void pytorch_put_string(StringInfo out, const char *s, size_t length);
extern void pytorch_put_int(StringInfo out, int64 value);
extern void pytorch_put_ordered_dict(StringInfo out);

/*
 * Gives the dict on top of the stack the attribute _metadata that torch keeps
 * the versions of modules in, when the model's metadata has it; nothing when
 * not (pytorch_write_metadata.c).
 */
extern void pytorch_put_module_versions(StringInfo out, const char *metadata);

#endif							/* MODELOPT_PYTORCH_WRITE_H */
