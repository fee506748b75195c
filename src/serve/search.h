/*
 * search.h
 *		What evaluates models again and again.
 *
 * Private to src/serve.
 */
#ifndef MODELOPT_SERVE_SEARCH_H
#define MODELOPT_SERVE_SEARCH_H

/* A model has been evaluated, perhaps for a search. */
extern void search_evaluated(void);

#endif							/* MODELOPT_SERVE_SEARCH_H */
