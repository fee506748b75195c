/*
 * uses.c
 *		Who answers questions about graphs: uses.h.
 */
#include "postgres.h"

#include "model/uses.h"

UsesProvider uses_provider;
