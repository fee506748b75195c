/*
 * server_toast.c
 *		A datum that lies elsewhere, in place of src/model/lazy.c, toast.c and
 *		spill.c.
 *
 * Payloads that are attached to it read its bytes through lazy_read
 * alone; what they ask for must lie in the datum.
 */
#include "postgres.h"

#include "model/model.h"
#include "server.h"

struct LazySource
{
	const char *datum;
	uint64		size;
	int			users;
};

struct LazySource *
server_toast_create(const char *datum, uint64 size)
{
	struct LazySource *toast = malloc(sizeof(struct LazySource));

	if (toast == NULL)
		server_die("no memory for a datum");
	toast->datum = datum;
	toast->size = size;
	toast->users = 0;
	return toast;
}

void
server_toast_free(struct LazySource *toast)
{
	free(toast);
}

int
server_toast_users(const struct LazySource *toast)
{
	return toast->users;
}

void
lazy_source_attach(struct LazySource *toast, Payload *payload)
{
	payload->lazy = toast;
	toast->users++;
}

void
lazy_source_detach(Payload *payload)
{
	if (payload->lazy == NULL || payload->lazy->users <= 0)
		server_die("a payload is detached that was not attached");
	payload->lazy->users--;
	payload->lazy = NULL;
}

void
lazy_read(const Payload *payload, uint64 offset, uint64 length, char *dst)
{
	const struct LazySource *toast = payload->lazy;

	server_event();
	offset += payload->lazy_offset;
	if (offset > toast->size || length > toast->size - offset)
		server_die("bytes " UINT64_FORMAT " to " UINT64_FORMAT " of a datum of " UINT64_FORMAT " are read",
				   offset, offset + length, toast->size);
	memcpy(dst, toast->datum + offset, length);
}

/* A datum has the encoded form alone. */
bool
lazy_has_elements(const Payload *payload)
{
	return false;
}

void
lazy_read_elements(const Payload *payload, int64 first, int64 n, void *dst)
{
	server_die("a datum is asked for elements");
}

/* Memory is bounded by server_memory_limit. */
void
payload_complete(Payload *payload)
{
}
