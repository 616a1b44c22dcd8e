/* fuzz_manifest - a manifest has one text: what is read is written again byte for byte */
#include "fuzz.h"
#include "sealfs/manifest.h"
#include "sealfs/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest manifest;
	struct digest root;
	const char *why = NULL;
	char *written = NULL;
	size_t written_size, first, end;

	if (manifest_parse((const char *)data, size, &manifest, &why) != 0) {
		MUST(why);
		return 0;
	}
	MUST(manifest_format(&manifest, &written, &written_size, &root) == 0);
	MUST(written_size == size && !memcmp(written, data, size));
	for (size_t i = 0; i < manifest.count; i++) {
		MUST(manifest_find(&manifest, manifest.entries[i].path) == &manifest.entries[i]);
		MUST(i == 0 || strcmp(manifest.entries[i - 1].path, manifest.entries[i].path) < 0);
		manifest_range(&manifest, manifest.entries[i].path, &first, &end);
		MUST(first <= end && end <= manifest.count);
		MUST(*manifest.entries[i].path != '/' && !strstr(manifest.entries[i].path, "../"));
	}
	tree_offset(&manifest, manifest.count);
	free(written);
	manifest_free(&manifest);
	return 0;
}
