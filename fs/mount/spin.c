#include "spin.h"

#include <poll.h>
#include <stdint.h>
#include <time.h>

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void spin_until_readable(struct spin *spin, int fd)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	unsigned int looks = 0;
	int there;

	if (!spin_is_due(spin))
		return;
	uint64_t until = now_ns() + SPIN_NS;
	do {
		there = poll(&readable, 1, 0);
		looks++;
	} while (!there && now_ns() < until);
	spin_ended(spin, there > 0 && looks > 1);
}
