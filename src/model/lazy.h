/*
 * lazy.h
 *		What a place has to offer whose payloads are read when somebody asks.
 *
 * A TOAST table, the repository and a temporary file are such places.  The
 * struct of each begins with a LazySource, and its methods do the reading;
 * until when they may is lazy.c's.
 */
#ifndef MODELOPT_LAZY_H
#define MODELOPT_LAZY_H

#include "lib/ilist.h"
#include "model/model.h"
#include "utils/snapshot.h"

typedef struct LazySource LazySource;

typedef struct LazyMethods
{
	/* Whether it is rows that a snapshot sees, which go with transactions. */
	bool		transactional;

	/*
	 * Why what the snapshot saw cannot be read any more although the
	 * transaction goes on, as the end of a sentence; NULL when it can.
	 */
	const char *(*gone) (LazySource *source);

	/* Copies bytes of a payload's encoded form; checks for interrupts. */
	void		(*read) (LazySource *source, const Payload *payload,
						 uint64 offset, uint64 length, char *dst);

	/*
	 * Copies elements of a sparse payload, which is then never read in part by
	 * the method above.  NULL where there is nothing but the encoded form.
	 */
	void		(*read_elements) (LazySource *source, const Payload *payload,
								  int64 first, int64 n, void *dst);

	/* Frees what the source holds besides its struct; must not raise. */
	void		(*release) (LazySource *source);
} LazyMethods;

struct LazySource
{
	const LazyMethods *methods;
	Snapshot	snapshot;		/* for reading; NULL when gone */

	/* lazy.c's own */
	dlist_node	node;			/* in all_sources, if transactional */
	dlist_head	payloads;		/* by lazy_node */
	const char *why;			/* it is gone */
	SubTransactionId subtransaction;	/* in which it was found */
	bool		maybe_own;		/* whose rows it may be */
};

/*
 * A source of that struct's size, zeroed but for its head, for payloads to
 * attach to; it goes with the last of them.  A transactional one reads by the
 * active snapshot.
 */
extern LazySource *lazy_source_create(Size size, const LazyMethods *methods);

/* Raises when the source has gone with its transaction. */
extern void lazy_source_check(LazySource *source);

#endif							/* MODELOPT_LAZY_H */
