/*
 * onnx_raise.h
 *		A graph with operators of a later version.
 *
 * Private to the ONNX writer.
 */
#ifndef MODELOPT_ONNX_RAISE_H
#define MODELOPT_ONNX_RAISE_H

#include "format/onnx_survey.h"

#define ONNX_OPSET_FLOAT8	19	/* a Cast of 8 bits */

/* Whether operators may be of that version, as all of them do the same then. */
extern bool onnx_can_raise(const OnnxSurvey *survey);

/* Appends what is written for a field of the model; false when it stays. */
extern bool onnx_raise_field(const PbField *field, StringInfo out);

/* Likewise the message of a node of the graph. */
extern bool onnx_raise_node(OnnxBytes node, StringInfo out);

#endif							/* MODELOPT_ONNX_RAISE_H */
