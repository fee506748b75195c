/*
 * server.h
 *		A stand-in for the part of the server that readers of bytes use.
 *
 * The code under test is compiled against the server's own headers and linked
 * with these functions instead of a backend: server_memory.c (contexts and
 * palloc), server_error.c (ereport, and a longjmp to whoever catches),
 * server_text.c (StringInfo, printf, UTF-8, sorting), server_hash.c (SHA-256)
 * and server_toast.c (a datum in a TOAST table).
 *
 * They are stricter than the server.  Every chunk is a block of malloc's, so
 * that the address sanitizer sees its bounds, and moves when it is resized.
 * What the server would report as an internal error, a leak, too much memory
 * or a message that is not in the database's encoding ends the process, which
 * is how libFuzzer learns of it.
 */
#ifndef FUZZ_SERVER_H
#define FUZZ_SERVER_H

#include "postgres.h"

/* Says why, on stderr, and aborts. */
extern void server_die(const char *why,...)
			__attribute__((noreturn, format(printf, 1, 2)));

/* ---------- memory (server_memory.c) ---------- */

/* What all chunks together may have; 0 for no limit. */
extern size_t server_memory_limit;

/* Bytes that new memory is filled with, so that what depends on them shows. */
extern uint8 server_memory_fill;

/* Creates TopMemoryContext, once. */
extern void server_memory_init(void);

/* Chunks that are allocated, in all contexts. */
extern size_t server_live_chunks(void);

/* ---------- events: what can fail anywhere ---------- */

/*
 * Allocations and looks for interrupts are counted from server_events_reset
 * on, and the one with the number given raises an error, as lack of memory or
 * a cancelled query would; 0 lets all of them pass.
 */
extern void server_events_reset(uint64 fail_at);
extern uint64 server_events(void);
extern void server_event(void);

/* ---------- errors (server_error.c) ---------- */

/* Of the last ERROR that was raised. */
extern int	server_error_code(void);
extern const char *server_error_text(void);

/* ---------- strings (server_text.c) ---------- */

/* Valid UTF-8 without U+0000. */
extern bool server_utf8_is_valid(const char *s, size_t length);

/* ---------- hashes (server_hash.c) ---------- */

/* Frees the hashes that are open, as the end of a transaction does; returns
 * how many. */
extern int	server_hashes_release(void);

/* ---------- TOAST (server_toast.c) ---------- */

struct LazySource;

/* A datum of so many bytes, length word included, that lies elsewhere.  The
 * bytes are not copied. */
extern struct LazySource *server_toast_create(const char *datum, uint64 size);
extern void server_toast_free(struct LazySource *toast);

/* Payloads that are attached to it. */
extern int	server_toast_users(const struct LazySource *toast);

#endif							/* FUZZ_SERVER_H */
