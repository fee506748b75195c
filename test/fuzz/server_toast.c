/*
 * server_toast.c
 *		A datum that lies elsewhere, in place of src/model/toast.c.
 *
 * Payloads that are attached to it read its bytes through toast_source_read
 * alone; what they ask for must lie in the datum.
 */
#include "postgres.h"

#include "model/model.h"
#include "server.h"

struct ToastSource
{
	const char *datum;
	uint64		size;
	int			users;
};

struct ToastSource *
server_toast_create(const char *datum, uint64 size)
{
	struct ToastSource *toast = malloc(sizeof(struct ToastSource));

	if (toast == NULL)
		server_die("no memory for a datum");
	toast->datum = datum;
	toast->size = size;
	toast->users = 0;
	return toast;
}

void
server_toast_free(struct ToastSource *toast)
{
	free(toast);
}

int
server_toast_users(const struct ToastSource *toast)
{
	return toast->users;
}

void
toast_source_attach(struct ToastSource *toast, Payload *payload)
{
	payload->toast = toast;
	toast->users++;
}

void
toast_source_detach(Payload *payload)
{
	if (payload->toast == NULL || payload->toast->users <= 0)
		server_die("a payload is detached that was not attached");
	payload->toast->users--;
	payload->toast = NULL;
}

void
toast_source_read(struct ToastSource *toast, uint64 offset, uint64 length,
				  char *dst)
{
	server_event();
	if (offset > toast->size || length > toast->size - offset)
		server_die("bytes " UINT64_FORMAT " to " UINT64_FORMAT " of a datum of " UINT64_FORMAT " are read",
				   offset, offset + length, toast->size);
	memcpy(dst, toast->datum + offset, length);
}
