/*
 * prison.h
 *		What the runner may do.
 */
#ifndef MODELOPT_SERVE_PRISON_H
#define MODELOPT_SERVE_PRISON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Ends this program when its parent ends, at once if it is gone already. */
extern void prison_follow(pid_t parent);

/* Limits memory to so many bytes, and forbids to write files; closes what was
 * open. */
extern bool prison_limit(uint64_t memory);

/* The last step: from now on no file is opened, nothing is connected or
 * started, and no other process is seen. */
extern bool prison_close(void);

#endif							/* MODELOPT_SERVE_PRISON_H */
