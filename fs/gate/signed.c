/* signed.c - is the seal signed by somebody who is trusted here? */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sealfs/creds.h"
#include "sealfs/log.h"
#include "sealfs/signature.h"

#define LOOK_NS 1000000000u /* a key that was revoked counts no longer than this */

/* The trust directory is this machine's, and read with the daemon's own rights. */
static void refresh_trust(struct gate *gate)
{
	uint64_t now = waiters_now_ns(), looked = atomic_load(&gate->trust_looked_ns);

	if (now - looked < LOOK_NS || !atomic_compare_exchange_strong(&gate->trust_looked_ns, &looked, now))
		return;
	CREDS_SCOPE(0, 0, 0);
	trust_refresh(gate->options.trust);
}

/* What is not required may be missing, but nothing may be false. */
static bool is_acceptable(const struct gate *gate, enum trust_verdict verdict)
{
	if (verdict == TRUST_GOOD)
		return true;
	return !gate->options.require_signature && verdict != TRUST_FORGED && verdict != TRUST_UNREADABLE;
}

static void tell(const struct gate_checkpoint *checkpoint, const struct trust_finding *finding, bool good)
{
	const char *why = finding->why ? finding->why : "out of memory";

	if (finding->verdict == TRUST_GOOD)
		log_notice("'%s': signed by '%s'", checkpoint->path, finding->who);
	else if (good)
		log_notice("'%s': %s; it is accepted, since this mount does not require a signature", checkpoint->path, why);
	else
		log_error("'%s': sealed by trial '%s' on %s, but %s: readers get EKEYREJECTED; have it sealed by a mount with '-o key=', or put the signer's public key into the trust directory",
			  checkpoint->path, checkpoint->state.has_end ? checkpoint->state.end.trial : "?",
			  checkpoint->state.has_end ? checkpoint->state.end.host : "?", why);
}

/* Without a record nothing else says what should be there: a good seal of other content, copied here, would be taken for it. */
static bool is_in_its_place(const struct gate *gate, const struct gate_checkpoint *checkpoint, const struct gate_sealed *sealed)
{
	if (!sealed->sealed_as || !gate->options.require_signature)
		return true;
	log_error("'%s': it is a copy of '%s', whose seal it has: a mount that requires signatures takes it under that name only: readers get EKEYREJECTED",
		  checkpoint->path, sealed->sealed_as);
	return false;
}

/* The answer is kept for as long as the same keys are trusted. */
static int judge(struct gate_checkpoint *checkpoint, struct gate_sealed *sealed, uint64_t generation)
{
	const struct gate *gate = checkpoint->gate;
	struct trust_finding finding = {.who = NULL};
	char *text = NULL, *why = NULL;
	size_t size = 0;

	int error = signature_load(&gate->options.store, checkpoint->path, &checkpoint->state, &text, &size, &why);
	if (!error)
		error = trust_check(gate->options.trust, &sealed->seal_digest, sealed->seal_time_ns, text, size, &finding);
	else if (error == -EKEYREJECTED)
		finding = (struct trust_finding){.verdict = TRUST_UNREADABLE, .why = why ? strdup(why) : NULL};
	if (!error || error == -EKEYREJECTED) {
		bool good = is_acceptable(gate, finding.verdict);
		tell(checkpoint, &finding, good);
		good = good && is_in_its_place(gate, checkpoint, sealed);
		error = sealed->rejected = good ? 0 : -EKEYREJECTED;
		sealed->judged = generation + 1;
	}
	trust_finding_free(&finding);
	free(text);
	free(why);
	return error;
}

int gate_check_signature_(struct gate_checkpoint *checkpoint)
{
	struct gate *gate = checkpoint->gate;
	struct gate_sealed *sealed = checkpoint->sealed;

	if (!gate->options.trust)
		return 0;
	refresh_trust(gate);
	uint64_t generation = trust_generation(gate->options.trust);
	if (sealed->judged == generation + 1)
		return sealed->rejected;
	return judge(checkpoint, sealed, generation);
}
