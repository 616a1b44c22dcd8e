/* call_short.c - calls that are answered at once: info, reserve, claim, remove, and the rest of a long answer */
#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As the option: names separated by ':'. */
static json_t *json_names(char *const *names)
{
	json_t *joined = json_string("");
	for (; *names; names++) {
		const char *before = json_string_value(joined);
		json_t *longer = json_sprintf("%s%s%s", before, *before ? ":" : "", *names);
		json_decref(joined);
		joined = longer;
	}
	return joined;
}

static json_t *liveness_json(const struct liveness *liveness)
{
	return json_pack("{s:s,s:i,s:s}", "sign", liveness->leases ? "lease" : "heartbeat", "heartbeat", (int)liveness->heartbeat, "why",
			 liveness->why);
}

void call_info(struct call *call)
{
	struct mount *mount = call->mount;
	char fuse[32];

	snprintf(fuse, sizeof(fuse), "7.%u", mount->protocol_minor);
	reply_json(call, 0,
		   json_pack("{s:s,s:o,s:i,s:b,s:b,s:s,s:i,s:i,s:s,s:b,s:o,s:o}", "version", SEALFS_VERSION, "export", text_json(mount->export_path), "depth",
			     (int)mount->depth, "passthrough", mount->passthrough ? 1 : 0, "exit_info", mount->exit_info ? 1 : 0, "verify",
			     mount->verify, "wait_timeout", (int)mount->wait_timeout, "pid", (int)getpid(), "fuse", fuse, "allow_other",
			     creds_enabled() ? 1 : 0, "trial_env", json_names(gate_config(mount->gate)->trial_env), "liveness",
			     liveness_json(gate_liveness(mount->gate))));
}

void call_stats(struct call *call)
{
	struct gate_stats stats;

	gate_stats(call->mount->gate, &stats);
	json_t *json = json_pack("{s:s?,s:i,s:i,s:i}", "hints", *stats.hints ? stats.hints : NULL, "subscribers", (int)stats.subscribers, "waiters",
				 (int)stats.waiters, "hinted", (int)stats.hinted);
	const struct {
		const char *name;
		uint64_t value;
	} counters[] = {{"waits", stats.waits},
			{"polls", stats.polls},
			{"looks", stats.looks},
			{"judgements", stats.judgements},
			{"hints_sent", stats.hints_sent},
			{"hints_received", stats.hints_received},
			{"hints_dropped", stats.hints_dropped}};
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		json_object_set_new(json, counters[i].name, json_integer((json_int_t)counters[i].value));
	reply_json(call, 0, json);
}

static void reply_generation(struct call *call, unsigned int generation)
{
	reply_json(call, 0, json_pack("{s:o,s:i}", "path", text_json(call->path), "generation", (int)generation));
}

void call_reserve(struct call *call)
{
	unsigned int generation = 0;
	int error;

	{
		AS_CALLER(call->req);
		error = gate_reserve(call->mount->gate, call->checkpoint, &call->caller, call->writer, &generation);
	}
	if (error == -EEXIST)
		reply_failure(call, error, "it is reserved, being written, or holds plain data already");
	else if (error == -EROFS)
		reply_failure(call, error, "it is sealed");
	else if (error == -ENOENT)
		reply_failure(call, error, "the directory above it does not exist; make that first");
	else if (error)
		reply_failure(call, error, NULL);
	else
		reply_generation(call, generation);
}

void call_claim(struct call *call)
{
	struct gate_view view;
	int error;

	{
		AS_CALLER(call->req);
		error = gate_claim(call->mount->gate, call->checkpoint, &call->caller, call->trial, &view);
	}
	if (error == -EROFS)
		reply_failure(call, error, "it is sealed");
	else if (error == -EBUSY)
		reply_failure(call, error, "another trial writes it, or it is reserved for another");
	else if (error)
		reply_failure(call, error, NULL);
	else
		reply_generation(call, view.generation);
}

void call_remove(struct call *call)
{
	int error;

	{
		AS_CALLER(call->req);
		error = gate_remove(call->mount->gate, call->checkpoint, &call->caller);
	}
	if (error == -EBUSY)
		reply_failure(call, error, "a trial is writing it; end that, or 'sealctl abandon' it first");
	else if (error == -ENOENT)
		reply_failure(call, error, "there is nothing of that name");
	else if (error)
		reply_failure(call, error, NULL);
	else
		reply_json(call, 0, json_pack("{s:o}", "path", text_json(call->path)));
}

void call_more(struct call *call)
{
	char *text = NULL;
	size_t size = 0;

	pthread_mutex_lock(&call->handle->lock);
	if (call->handle->reply) {
		size = call->handle->reply_size;
		text = malloc(size);
		if (text)
			memcpy(text, call->handle->reply, size);
	}
	pthread_mutex_unlock(&call->handle->lock);
	reply_text(call, 0, text, text ? size : 0, call->offset);
	free(text);
}
