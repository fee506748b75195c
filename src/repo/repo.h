/*
 * repo.h
 *		The repository: models with names, versions and history.
 *
 * Owns the tables of the schema modelopt_private and all that reads or writes
 * them.  What is rows (references, history, access, audit) is SQL, beside
 * this file; what is weights is C: payloads become objects (object.h), whose
 * blocks are coded against those of an older object (block.h), are written as
 * rows of a page (part.h), and are read back when somebody asks.  It must not
 * know formats, nor how a transformation works; that a model was pruned it
 * knows from the recipe in the value.
 */
#ifndef MODELOPT_REPO_H
#define MODELOPT_REPO_H

#include "postgres.h"

#include "catalog/pg_proc.h"

/* Oid of a table, index or sequence of the repository; raises when it is
 * gone.  (part.c) */
extern Oid	repo_relation(const char *name);

/* Whether that is still it: the extension may be dropped while somebody has a
 * model of the repository.  (part.c) */
extern bool repo_has_relation(const char *name, Oid relation);

/* The role that called the verb at work, or the current one when there is
 * none: not the repository's owner, as whom a verb runs.  (gate.c) */
extern Oid	repo_caller(void);

/* Whether a verb is at work.  (gate.c) */
extern bool repo_in_verb(void);

/*
 * Does work with the rights of a role, the repository's owner, as a verb does
 * it: repo_caller() is who was the user before, and the work has to ask first
 * whether that one may.  (gate.c)
 */
extern Datum repo_as_owner(Oid owner, Datum (*work) (void *), void *argument);

/* The function of the schema modelopt_private that has the name and arguments
 * of one which people call, and does its work.  (gate.c) */
extern Oid	repo_find_body(Form_pg_proc gate);

/* ---------- versions to run (served.c) ---------- */

/* A version that the caller may use; not a right to its weights. */
typedef struct ServedVersion
{
	int64		model_id;
	int32		version;
	int64		tree_id;
	uint8		digest[32];		/* the version's */
} ServedVersion;

/* The version that a reference names now; raises when there is none, or when
 * the caller may not use it. */
extern void repo_find_served(const char *ref, ServedVersion *version);

/* Its model, read when asked; nothing that a user's expression may get. */
extern struct Model *repo_open_served(const ServedVersion *version);

/* The setting modelopt.row_message: what versions of tracked rows get instead
 * of what their table says.  (track.c) */
extern char *track_row_message;

#endif							/* MODELOPT_REPO_H */
