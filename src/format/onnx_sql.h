/*
 * onnx_sql.h
 *		What a model takes and gives, as rows.
 *
 * For all that find a model in some way and show it as inputs() and outputs()
 * do.
 */
#ifndef MODELOPT_FORMAT_ONNX_SQL_H
#define MODELOPT_FORMAT_ONNX_SQL_H

#include "fmgr.h"
#include "model/model.h"

/* The rows of a function that returns inputs()' columns; reads no weights. */
extern void onnx_put_inputs(FunctionCallInfo fcinfo, const Model *model);
extern void onnx_put_outputs(FunctionCallInfo fcinfo, const Model *model);

#endif							/* MODELOPT_FORMAT_ONNX_SQL_H */
