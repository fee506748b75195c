/*
 * select.h
 *		Ranks of keys that are all in memory.
 *
 * What a key is, is the kernel's (rank.c); this looks for interrupts
 * meanwhile.
 */
#ifndef MODELOPT_SELECT_H
#define MODELOPT_SELECT_H

#include "postgres.h"

/* The key of that rank, 0 being the smallest, among keys of width 4 or 8;
 * *below says how many are smaller. */
extern uint64 select_key(const void *keys, int64 n, int width, int64 rank,
						 int64 *below);

#endif							/* MODELOPT_SELECT_H */
