/*
 * npz_write.c
 *		Writes models as numpy.savez and numpy.save do.
 *
 * Arrays are in C's order and little endian, members are stored and come in
 * the model's order.  The formats have no ties: every name gets elements of
 * its own.  Metadata has no place in them.
 */
#include "postgres.h"

#include "format/npz.h"
#include "format/zip.h"
#include "mb/pg_wchar.h"

/* The member that an array is in; a name that would not be read is not
 * written. */
static char *
member_name(const Tensor *tensor)
{
	char	   *name = psprintf("%s" NPY_SUFFIX, tensor->name);
	const char *problem = zip_name_problem(name, strlen(name));

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model has a tensor that an npz file cannot have"),
				 errdetail("In it, tensor \"%s\" %s.",
						   pg_any_to_server(tensor->name,
											strlen(tensor->name), PG_UTF8),
						   problem)));
	return name;
}

static uint64
elements_size(const Payload *payload)
{
	return dtype_bytes(payload->dtype, payload->count);
}

static void
write_member(ZipWriter *writer, const StringInfo header, Payload *payload)
{
	PayloadReader *reader = payload_reader_create(payload);
	const void *elements;
	int64		n;

	zip_writer_begin(writer);
	zip_writer_append(writer, header->data, header->len);
	while ((n = payload_reader_next(reader, &elements)) > 0)
		zip_writer_append(writer, elements, dtype_bytes(payload->dtype, n));
	payload_reader_free(reader);
}

void
npz_write(Model *model, Sink *sink)
{
	ZipWriter  *writer = zip_writer_create(sink);
	StringInfoData header;

	initStringInfo(&header);
	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];

		resetStringInfo(&header);
		npy_put_header(&header, model, tensor);
		zip_writer_announce(writer, member_name(tensor),
							header.len +
							elements_size(tensor_payload(model, tensor)));
	}

	zip_writer_start(writer);
	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];

		resetStringInfo(&header);
		npy_put_header(&header, model, tensor);
		write_member(writer, &header, tensor_payload(model, tensor));
	}
	zip_writer_finish(writer);
	pfree(header.data);
}

void
npy_write(Model *model, Sink *sink)
{
	StringInfoData header;
	Payload    *payload;

	if (model->ntensors != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an npy file has one array, and the model has %d tensors",
						model->ntensors),
				 errhint("Write it in format npz.")));
	initStringInfo(&header);
	npy_put_header(&header, model, &model->tensors[0]);
	payload = tensor_payload(model, &model->tensors[0]);

	sink->start(sink, header.len + elements_size(payload));
	sink->put(sink, 0, header.data, header.len);
	sink_put_payload(sink, header.len, payload);
	pfree(header.data);
}
