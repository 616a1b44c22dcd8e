#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "report.h"
#include "sealfs/signature.h"
#include "verify.h"

/* Without a trust directory a signature can only be right or wrong: who made it is told by its key. */
static int check_alone(const char *text, size_t size, const struct seal *seal, json_t *out, char **why)
{
	struct signature signature;
	char key[KEY_TEXT_SIZE];
	const char *reason = NULL;
	int error = signature_parse(text, size, &signature, &reason);

	if (error == -ENOMEM)
		return error;
	if (error) {
		*why = reason ? strdup(reason) : NULL;
		return -EKEYREJECTED;
	}
	key_to_text(&signature.key, key);
	json_object_set_new(out, "signed_by", json_string(key));
	error = signature_check(&signature, &seal->digest);
	if (error == -EKEYREJECTED)
		*why = strdup("the signature is wrong: the seal was changed, or it was forged");
	return error;
}

static int check_trusted(struct trust *trust, const char *text, size_t size, const struct seal *seal, json_t *out, char **why)
{
	struct trust_finding finding;
	int error = trust_check(trust, &seal->digest, seal->time_ns, text, size, &finding);

	if (finding.who)
		json_object_set_new(out, "signed_by", json_string(finding.who));
	if (finding.why)
		*why = strdup(finding.why);
	trust_finding_free(&finding);
	return error;
}

int verify_signed(const struct verify *verify, const struct store *store, const char *path, const struct state *state,
		  const struct seal *seal, json_t *out, char **why)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int error = signature_load(store, path, state, &text, &size, why);

	if (error)
		return error;
	if (verify->trust)
		return check_trusted(verify->trust, text, size, seal, out, why);
	return text ? check_alone(text, size, seal, out, why) : 0;
}
