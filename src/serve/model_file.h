/*
 * model_file.h
 *		A model as an ONNX file in memory.
 *
 * Private to src/serve.
 */
#ifndef MODELOPT_SERVE_MODEL_FILE_H
#define MODELOPT_SERVE_MODEL_FILE_H

#include "model/model.h"

typedef struct ModelFile
{
	int			file;			/* sealed: nobody changes it any more */
	uint64		size;
	MemoryContextCallback callback;
} ModelFile;

/* Writes the model to a file that has no name, and is closed when the current
 * memory context goes.  Raises when it has no graph, or is too large. */
extern ModelFile *model_file_create(Model *model);
extern void model_file_close(ModelFile *file);

#endif							/* MODELOPT_SERVE_MODEL_FILE_H */
