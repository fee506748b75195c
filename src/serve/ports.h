/*
 * ports.h
 *		What a loaded model takes and gives, as bytes.
 *
 * Pure C; the runner packs, the backend unpacks.
 */
#ifndef MODELOPT_SERVE_PORTS_H
#define MODELOPT_SERVE_PORTS_H

#include "serve/ort.h"

/* Bytes that the ports of a model take, and puts them there. */
extern uint64_t ports_size(const OrtModel *model);
extern void ports_pack(const OrtModel *model, char *dst);

/*
 * Reads packed ports, which may be anything.  Numbers and names are taken out
 * of the bytes into memory that the caller's allocator gives, which may jump
 * away.  False when they are no ports.
 */
typedef void *(*PortsAllocator) (size_t bytes);

extern bool ports_unpack(const char *bytes, uint64_t size,
						 PortsAllocator allocate, Port **inputs,
						 int *ninputs, Port **outputs, int *noutputs);

#endif							/* MODELOPT_SERVE_PORTS_H */
