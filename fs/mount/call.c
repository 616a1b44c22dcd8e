/* call.c - how a call is answered */
#include "call.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "sealfs/escape.h"

#define TRIM_LEAST (64 << 10) /* bytes of an answer; the JSON that it is made of takes ten times as much */

void call_free(struct call *call)
{
	gate_checkpoint_put(call->checkpoint);
	for (size_t i = call->next; call->ending && call->ending[i]; i++)
		gate_checkpoint_put(call->ending[i]);
	free(call->ending);
	json_decref(call->sealed);
	json_decref(call->failed);
	json_decref(call->joined);
	free(call->text);
	free(call);
}

void reply_text(struct call *call, int result, const char *text, size_t total, size_t offset)
{
	struct sealfs_call *out = calloc(1, sizeof(*out));
	fuse_req_t req = call->req;

	if (out) {
		size_t left = offset < total ? total - offset : 0;
		out->version = SEALFS_CALL_VERSION;
		out->op = call->op;
		out->result = result;
		out->total = total;
		out->offset = offset;
		out->size = (uint32_t)(left < SEALFS_CALL_TEXT ? left : SEALFS_CALL_TEXT);
		if (out->size)
			memcpy(out->text, text + offset, out->size);
	}
	call_free(call);
	if (out)
		fuse_reply_ioctl(req, 0, out, sizeof(*out));
	else
		reply_status(req, ENOMEM);
	free(out);
}

/* Keeps a copy of a long answer at the handle for SEALFS_CALL_MORE. */
static bool keep_reply(struct handle *handle, const char *text, size_t size)
{
	char *copy = strdup(text);

	pthread_mutex_lock(&handle->lock);
	free(handle->reply);
	handle->reply = copy;
	handle->reply_size = copy ? size : 0;
	pthread_mutex_unlock(&handle->lock);
	return copy != NULL;
}

void reply_json(struct call *call, int result, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	size_t size = text ? strlen(text) : 0;
	fuse_req_t req = call->req;

	json_decref(json);
	if (text && (size <= SEALFS_CALL_TEXT || keep_reply(call->handle, text, size))) {
		reply_text(call, result, text, size, 0);
	} else {
		call_free(call);
		reply_status(req, ENOMEM);
	}
	free(text);
	/* one that tells of ten thousand processes takes 20 MB to make, of which the allocator would keep all */
	if (size >= TRIM_LEAST)
		malloc_trim(0);
}

void reply_failure(struct call *call, int error, const char *why)
{
	reply_json(call, error, json_pack("{s:s}", "error", why && *why ? why : strerror(-error)));
}

/* ---- JSON ---- */

json_t *text_json(const char *text)
{
	char *escaped = escape_text(text);
	json_t *json = escaped ? json_string(escaped) : NULL;
	free(escaped);
	return json ? json : json_null();
}

json_t *root_json(const struct digest *root)
{
	char hex[DIGEST_HEX_SIZE];
	digest_to_hex(root, hex);
	return json_sprintf("sha256:%s", hex);
}

json_t *sentence_json(const char *text)
{
	json_t *json = json_string(text);
	return json ? json : text_json(text);
}

json_t *outcome_json(struct gate_checkpoint *checkpoint, const struct gate_outcome *outcome)
{
	json_t *json = json_pack("{s:o,s:i}", "path", text_json(gate_checkpoint_path(checkpoint)), "generation", (int)outcome->generation);
	if (outcome->result)
		json_object_set_new(json, "reason", sentence_json(outcome->message));
	if (outcome->result || !outcome->seconds)
		return json;
	json_object_set_new(json, "root", root_json(&outcome->root));
	json_object_set_new(json, "files", json_integer((json_int_t)outcome->files));
	json_object_set_new(json, "bytes", json_integer((json_int_t)outcome->bytes));
	json_object_set_new(json, "seconds", json_real(outcome->seconds));
	return json;
}
