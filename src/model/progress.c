/*
 * progress.c
 *		Who listens to progress: progress.h.
 */
#include "postgres.h"

#include "model/progress.h"

ProgressListener progress_listener;
