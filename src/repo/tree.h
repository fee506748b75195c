/*
 * tree.h
 *		Contents of versions: which tensors, and which objects they are.
 */
#ifndef MODELOPT_TREE_H
#define MODELOPT_TREE_H

#include "model/model.h"

typedef struct StoredTree
{
	int64		id;
	uint64		new_bytes;		/* decoded bytes of objects that came with it */
	uint64		stored_bytes;	/* and what they take in the repository */
} StoredTree;

/* A tree's identity: over the model's digest and the objects of its payloads,
 * which tell encodings apart.  (tree.c) */
extern void tree_digest(Model *model, uint8 (*objects)[MODEL_DIGEST_LENGTH],
						uint8 *digest);

/*
 * Stores a model's content, of which most may be there already.  Tensors that
 * are not are coded against those of the same name in the tree base, if that
 * is not 0.  Needs memory for a tensor's block, not for the model.
 * (tree_write.c)
 */
extern StoredTree tree_write(Model *model, int64 base);

/* The model of a tree, in the given context, with lazy payloads; raises XX001
 * when the tree is not what was written.  recipe is JSON text of an array in
 * UTF-8.  (tree_read.c) */
extern Model *tree_read(MemoryContext context, int64 tree_id,
						const char *recipe);

#endif							/* MODELOPT_TREE_H */
