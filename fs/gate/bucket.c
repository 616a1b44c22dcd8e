#include "sealfs/bucket.h"

uint64_t bucket_take(struct bucket *bucket, uint64_t now_ns, uint64_t interval_ns, unsigned int burst)
{
	uint64_t next = (bucket->next_ns > now_ns ? bucket->next_ns : now_ns) + interval_ns, limit = now_ns + burst * interval_ns;

	if (next > limit)
		return next - limit;
	bucket->next_ns = next;
	return 0;
}
